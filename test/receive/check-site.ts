/** A push pipeline whose only step are checks, with a real directory of users beside it; and keys that sign. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { renderProblem } from '../../src/access/problem.ts';
import { systemClock } from '../../src/base/clock.ts';
import { RefCache } from '../../src/git/ref-cache.ts';
import { CheckBook } from '../../src/receive/checks/check-book.ts';
import { peopleOf } from '../../src/receive/checks/people.ts';
import { CertificateDesk } from '../../src/receive/push-certificate.ts';
import type { Step } from '../../src/receive/step.ts';
import { createCheckStep } from '../../src/receive/steps/checks.ts';
import { addUsers, openDirectory, type Fixture } from '../identity/fixture.ts';
import { expectRun } from '../support/workspace.ts';
import { git, openSite, type Ran, type Site, type SiteOptions } from './site.ts';

export interface CheckSite {
  readonly site: Site;
  readonly users: Fixture['directory'];
  readonly certificates: CertificateDesk;
  /** Puts these checks in force, in place of those before. */
  check(toml: string): void;
  /** Pushes by git://, as alice. */
  push(tree: string, ...words: readonly string[]): Promise<Ran>;
  /** Git processes that the gate started meanwhile. */
  started(task: () => Promise<unknown>): Promise<number>;
}

export async function openCheckSite(t: TestContext, options: SiteOptions = {}): Promise<CheckSite> {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob');
  const book = new CheckBook({ isPolicyRepository: (name) => name === 'gatehouse-admin' });
  let real: Step | undefined;
  const step: Step = { name: 'checks', check: async (push) => (await real?.check(push)) ?? [] };
  const certificates = new CertificateDesk({
    clock: systemClock,
    verify: (text) => directory.signatures.verify(text),
    isWanted: (name, principal) => book.wantsCertificate(name, principal),
  });
  const site = await openSite(t, { ...options, parts: { ...options.parts, certificates, steps: [step] } });
  const { processes } = site;
  real = createCheckStep({
    processes,
    refs: new RefCache({ processes }),
    people: peopleOf(directory),
    clock: systemClock,
    book,
  });
  return {
    site,
    users: directory,
    certificates,
    check(toml) {
      const compiled = book.annex.compile(new Map([['checks/site.toml', toml]]));
      if (compiled.kind === 'wrong') throw new Error(compiled.problems.map(renderProblem).join('\n'));
      compiled.adopt();
    },
    push: (tree, ...words) => git(tree, 'push', site.gitUrl, ...words),
    async started(task) {
      const before = processes.started;
      await task();
      return processes.started - before;
    },
  };
}

/** `[[check]]` for every repository, with these lines. */
export function table(...lines: readonly string[]): string {
  return [
    '[[check]]',
    ...lines,
    ...(lines.some((line) => line.startsWith('repositories')) ? [] : ['repositories = ["*"]']),
    '',
  ].join('\n');
}

export interface SshKey {
  readonly file: string;
  readonly line: string;
  /** Options of git that sign with it. */
  readonly config: readonly string[];
}

export async function makeSshKey(root: string, name: string): Promise<SshKey> {
  const directory = join(root, 'keys');
  mkdirSync(directory, { recursive: true });
  const file = join(directory, name);
  await expectRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file]);
  return {
    file,
    line: readFileSync(`${file}.pub`, 'utf8'),
    config: ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${file}`],
  };
}
