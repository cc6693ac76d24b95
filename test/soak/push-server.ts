/**
 * A push pipeline in a process of its own, to be killed: `push-server.ts ROOT [OPTIONS as JSON]`. Prints one line of JSON
 * when it serves. What it may be told to do wrong is what the checker has to catch.
 */
import { execFileSync } from 'node:child_process';
import { isZeroOid } from '../../src/git/oid.ts';
import type { RefWriter } from '../../src/receive/ref-writer.ts';
import { startSite } from '../receive/site.ts';

export interface PushServerOptions {
  /** Ends itself with SIGKILL when a push passes this border of the commit protocol. */
  readonly dieAt?: string;
  /** At which passing of that border; default the first. */
  readonly dieOn?: number;
  /** `apply-early`: sets refs one by one before the commit point, and ends itself after half of them. */
  readonly broken?: 'apply-early';
}

export interface PushServerReady {
  readonly url: string;
  readonly repositoryPath: string;
  readonly journalDirectory: string;
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** What git's own receive-pack does without `--atomic`: one transaction for each ref. */
const applyEarly: RefWriter = {
  prepare(repository, updates) {
    for (const [index, { refname, newOid }] of updates.entries()) {
      const change = isZeroOid(newOid) ? ['-d', refname] : [refname, newOid];
      execFileSync('git', [`--git-dir=${repository.path}`, 'update-ref', ...change]);
      if (index + 1 >= updates.length / 2) die();
    }
    return new Promise(() => {});
  },
};

const [root = '', json = '{}'] = process.argv.slice(2);
const options = JSON.parse(json) as PushServerOptions;
let passings = 0;
const site = await startSite({
  root,
  parts: {
    onCommitStep(step) {
      if (step === options.dieAt && (passings += 1) === (options.dieOn ?? 1)) die();
    },
    ...(options.broken === 'apply-early' ? { refWriter: applyEarly } : {}),
  },
});
const ready: PushServerReady = {
  url: site.gitUrl,
  repositoryPath: site.repository.path,
  journalDirectory: `${root}/journal`,
};
process.stdout.write(`${JSON.stringify(ready)}\n`);
