/** Pushes that come to one repository at once, told the committer one by one. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { JournalEntry } from '../../src/audit/entry.ts';
import { systemClock } from '../../src/base/clock.ts';
import { OdbPool } from '../../src/git/odb/pool.ts';
import { parseOid, zeroOid, type Oid } from '../../src/git/oid.ts';
import { RefCache } from '../../src/git/ref-cache.ts';
import { parseRefname } from '../../src/git/refname.ts';
import { Committer, type CommitParts, type CommitStep } from '../../src/receive/commit.ts';
import type { Committed, CommitRequest } from '../../src/receive/commit-request.ts';
import { realDurable } from '../../src/receive/durable.ts';
import { createRefWriter } from '../../src/receive/ref-writer.ts';
import { parseState } from '../../src/receive/state.ts';
import { Update } from '../../src/receive/update.ts';
import { commitFile, gitOk, openSite, type Site } from './site.ts';

export const ZERO = zeroOid('sha1');

export interface Ground {
  readonly site: Site;
  readonly committer: Committer;
  readonly parts: CommitParts;
  readonly steps: CommitStep[];
  readonly tips: readonly Oid[];
  /** A commit of one push; not awaited, it waits behind those before it. */
  readonly push: (
    who: string,
    refs: readonly Wanted[],
    more?: Partial<CommitRequest>,
  ) => Promise<Committed | undefined>;
  /** How each ref of a push ended, after it. */
  readonly reasons: (who: string) => readonly (string | undefined)[];
  readonly generation: () => Promise<number>;
}

type Wanted = readonly [name: string, oldOid: Oid, newOid: Oid];

/** A committer of its own over a site's parts, on a repository that has the objects already. */
export async function open(t: TestContext, change: Partial<CommitParts> = {}): Promise<Ground> {
  const site = await openSite(t);
  const tree = await site.workTree();
  const tips = [await commitFile(tree, 'a'), await commitFile(tree, 'b')].map(oid);
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:refs/keep/objects');
  await site.receive.close();
  const odb = new OdbPool({ clock: systemClock });
  t.after(() => odb.close());
  const steps: CommitStep[] = [];
  const objects: Parameters<typeof createRefWriter>[1] = {
    clock: systemClock,
    durable: realDurable,
    objects: ({ path, objectFormat }) => odb.of(path, objectFormat),
  };
  const { onStep, ...others } = change;
  const parts: CommitParts = {
    store: site.store,
    refs: new RefCache({ processes: site.processes, odb }),
    refWriter: createRefWriter(site.processes, objects),
    durable: realDurable,
    journal: site.journal,
    log: { info() {}, warn() {}, error() {} },
    clock: systemClock,
    logEntriesKept: 64,
    onSettled: undefined,
    onChanged: undefined,
    onStep: (step) => {
      steps.push(step);
      return onStep?.(step);
    },
    ...others,
  };
  const committer = new Committer(parts);
  const known = new Map<string, readonly Update[]>();
  return {
    site,
    committer,
    parts,
    steps,
    tips,
    push(who, refs, more = {}) {
      const updates = refs.map(
        ([name, oldOid, newOid]) => new Update({ name, refname: parseRefname(name), oldOid, newOid }),
      );
      known.set(who, updates);
      return committer.commit({
        repository: site.repository,
        updates,
        atomic: false,
        objectDirectory: undefined,
        requestId: `request of ${who}`,
        principal: who,
        entry: () => lineOf(site, who, updates),
        sharesTurn: () => true,
        ...more,
      });
    },
    reasons: (who) => known.get(who)?.map(({ refusal }) => refusal?.reason) ?? [],
    generation: async () => parseState(await site.store.get('repository-state', site.repository.id)).generation,
  };
}

export function lineOf({ repository }: Site, who: string, updates: readonly Update[]): JournalEntry {
  return {
    event: 'push',
    outcome: 'served',
    request: `request of ${who}`,
    transport: 'git',
    address: '127.0.0.1',
    principal: who,
    repository: repository.name,
    refs: updates.map(({ name, oldOid, newOid, refusal }) => ({
      name,
      old: oldOid,
      new: newOid,
      result: refusal?.reason ?? 'ok',
    })),
  };
}

export function oid(text: string): Oid {
  const parsed = parseOid(text, 'sha1');
  assert.ok(parsed !== undefined);
  return parsed;
}

export async function lines({ site }: Ground, event: string): Promise<readonly string[]> {
  const all = await site.journalLines();
  return all
    .filter((line) => line.event === event && line.principal !== 'alice')
    .map(({ principal, refs }) => `${principal}: ${refs?.map(({ name, result }) => `${name} ${result}`).join(', ')}`);
}

export async function names({ site }: Ground): Promise<readonly string[]> {
  const all = (await site.refs()).split('\n').map((line) => line.split(' ')[1] ?? '');
  return all.filter((name) => name.startsWith('refs/heads/'));
}

/** A quarantine with one commit in a pack. */
export async function packOf(site: Site, name: string): Promise<{ readonly path: string; readonly tip: Oid }> {
  const tree = await site.workTree();
  const tip = oid(await commitFile(tree, name));
  await gitOk(tree, 'repack', '-adq');
  const path = join(site.repository.path, 'gatehouse/incoming', name);
  await mkdir(join(path, 'pack'), { recursive: true });
  const from = join(tree, '.git/objects/pack');
  for (const file of readdirSync(from).filter((one) => /\.(?:pack|idx)$/.test(one)))
    await writeFile(join(path, 'pack', file), await readFile(join(from, file)));
  return { path, tip };
}
