/** What has to hold when a round is over and everybody is well again, looked at from outside: each problem in words. */
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { readLines } from '../../src/audit/read.ts';
import { verifyJournal } from '../../src/audit/verify.ts';
import { fsck } from './crash-check.ts';
import type { Asked } from './gate-client.ts';
import type { SoakUpstream, Transition } from './gate-upstream.ts';

export interface GateExpectation {
  readonly upstream: SoakUpstream;
  /** What a client is shown; undefined: nothing. */
  readonly shown: ReadonlyMap<string, string> | undefined;
  readonly data: string;
  readonly repositoryPath: string;
  /** Everything that was ever asked. */
  readonly asked: readonly Asked[];
  readonly seen: ReadonlySet<string>;
}

export async function checkGate(expectation: GateExpectation): Promise<readonly string[]> {
  const { upstream, shown, data, repositoryPath, asked, seen } = expectation;
  const log = upstream.log();
  const refs = await upstream.refs();
  return [
    ...compare(shown, refs),
    ...promises(asked, log),
    ...strangers(seen, log),
    ...intentsLeft(data),
    ...(await untold(join(data, 'journal'), asked, log)),
    ...(await fsck(repositoryPath)),
    ...(await fsck(upstream.path)),
  ];
}

function compare(shown: ReadonlyMap<string, string> | undefined, refs: ReadonlyMap<string, string>): readonly string[] {
  if (shown === undefined) return ['the gate shows nothing'];
  const names = new Set([...shown.keys(), ...refs.keys()]);
  const odd = [...names].filter((name) => shown.get(name) !== refs.get(name));
  return odd.map((name) => `${name}: the gate has ${short(shown.get(name))}, the upstream ${short(refs.get(name))}`);
}

/** Acknowledged is upstream, refused is not, and nothing went there but on the old value that its client knew. */
function promises(asked: readonly Asked[], log: readonly Transition[]): readonly string[] {
  const taken = new Map(log.map((transition) => [`${transition.refname} ${transition.now}`, transition]));
  const deleted = new Set(log.filter(({ now }) => isNone(now)).map(({ refname, old }) => `${refname} ${old}`));
  const problems: string[] = [];
  for (const one of asked) {
    const { client, refname, old, now, answer, reason } = one;
    const found = taken.get(`${refname} ${now}`);
    const isThere = isNone(now) ? deleted.has(`${refname} ${old}`) : found !== undefined;
    const what = `${client} ${refname} ${short(old)}..${short(now)}`;
    if (answer === 'done' && !isThere) problems.push(`${what}: acknowledged, and never was upstream`);
    const mayBeOthers =
      isNone(now) && asked.some((other) => other !== one && isSame(other, one) && other.answer !== 'refused');
    const isRefused = answer === 'refused' || answer === 'stale';
    if (isRefused && isThere && !mayBeOthers) problems.push(`${what}: refused (${reason}), and was upstream`);
    if (found !== undefined && !isNone(now) && found.old !== old && !(isNone(found.old) && isNone(old))) {
      problems.push(`${what}: went over ${short(found.old)}, which its client never saw`);
    }
  }
  return problems;
}

function isSame(a: Asked, b: Asked): boolean {
  return a.refname === b.refname && a.old === b.old && a.now === b.now;
}

/** What a fetch showed that never was upstream. */
function strangers(seen: ReadonlySet<string>, log: readonly Transition[]): readonly string[] {
  const known = new Set(log.map(({ refname, now }) => `${refname} ${now}`));
  const odd = [...seen].filter((value) => !known.has(value) && !value.startsWith('refs/heads/main '));
  return odd.map((value) => `a fetch showed ${value}, which never was upstream`);
}

function intentsLeft(data: string): readonly string[] {
  const store = new DatabaseSync(join(data, 'gatehouse.db'), { readOnly: true });
  try {
    const rows = store.prepare("SELECT key, value FROM object WHERE kind = 'forward'").all();
    return rows.map(({ value }) => `an intent is left: ${String(value).slice(0, 200)}`);
  } finally {
    store.close();
  }
}

/** Whatever of a client's push went upstream has a line that names who pushed it: its own, or `recover`. */
async function untold(
  directory: string,
  asked: readonly Asked[],
  log: readonly Transition[],
): Promise<readonly string[]> {
  const report = await verifyJournal(directory);
  const problems = report.ok ? [] : [`journal: ${JSON.stringify(report.problems).slice(0, 500)}`];
  const told = new Set<string>();
  for await (const { event, refs } of readLines(directory, { filter: {} })) {
    if (event !== 'push' && event !== 'recover') continue;
    for (const ref of refs ?? []) if (event === 'recover' || ref.result === 'ok') told.add(`${ref.name} ${ref.new}`);
  }
  const taken = new Set(log.map(({ refname, now }) => `${refname} ${now}`));
  const gone = asked.filter(({ refname, now }) => !isNone(now) && taken.has(`${refname} ${now}`));
  const silent = gone.filter(({ refname, now }) => !told.has(`${refname} ${now}`));
  return [
    ...problems,
    ...silent.map(({ refname, now }) => `the journal does not tell who put ${short(now)} on ${refname}`),
  ];
}

function isNone(oid: string): boolean {
  return /^0+$/.test(oid);
}

function short(oid: string | undefined): string {
  return oid === undefined || isNone(oid) ? 'nothing' : oid.slice(0, 8);
}
