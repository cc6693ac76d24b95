/** A roll whose `git repack` fails: it is tried again, so often and no more, and nothing is lost meanwhile. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Parsed } from '../../src/base/fault.ts';
import type { GitProcesses } from '../../src/git/processes.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { Turns } from '../../src/repository/turns.ts';
import { roll } from '../../src/repository/upkeep.ts';
import { commit, git, must, named, openCatalogue, reasonOf } from './fixture.ts';

interface Rolled {
  readonly result: Parsed<void>;
  readonly repacks: number;
  readonly said: readonly string[];
}

/** Rolls where another git holds the multi-pack-index, as the real one asks, while `isHeld` says so of an attempt. */
async function rollBeside(
  processes: GitProcesses,
  repository: Repository,
  isHeld: (attempt: number) => boolean,
): Promise<Rolled> {
  const lock = join(repository.path, 'objects/pack/multi-pack-index.lock');
  let repacks = 0;
  const beside: GitProcesses = {
    async start(spec) {
      if (spec.subcommand === 'repack') {
        repacks += 1;
        rmSync(lock, { force: true });
        if (isHeld(repacks)) writeFileSync(lock, '');
      }
      return processes.start(spec);
    },
    get started() {
      return processes.started;
    },
    close: () => processes.close(),
  };
  const said: string[] = [];
  const tell = (line: string): void => void said.push(line);
  const result = await roll({ processes: beside, turns: new Turns() }, { repository, tell });
  return { result, repacks, said };
}

async function openKept(
  t: TestContext,
): Promise<{ readonly processes: GitProcesses; readonly repository: Repository }> {
  const { catalogue, processes } = await openCatalogue(t);
  const repository = must(await catalogue.create({ name: named('kept'), owner: 'root1' }));
  await commit(repository.path, 'refs/heads/main', 'one');
  return { processes, repository };
}

test('a repack that fails is tried again, and the next one counts', async (t) => {
  const { processes, repository } = await openKept(t);
  const { result, repacks, said } = await rollBeside(processes, repository, (attempt) => attempt < 3);
  must(result);
  assert.equal(repacks, 3);
  assert.match(said.join('\n'), /multi-pack-index\.lock/, 'what failed is told');
  assert.match(await git(repository.path, 'count-objects', '-v'), /^count: 0$/m);
  await git(repository.path, 'fsck', '--strict');
});

test('a repack that goes on failing is given up, with nothing lost', async (t) => {
  const { processes, repository } = await openKept(t);
  const before = await git(repository.path, 'rev-parse', 'refs/heads/main');
  const { result, repacks } = await rollBeside(processes, repository, () => true);
  assert.match(reasonOf(result), /git repack ended with/);
  assert.equal(repacks, 3);
  assert.equal(await git(repository.path, 'rev-parse', 'refs/heads/main^{commit}'), before);
  await git(repository.path, 'fsck', '--strict');
  // Whoever left the lock does not keep the next upkeep from its work.
  must((await rollBeside(processes, repository, () => false)).result);
});
