/**
 * Questions about objects, with bounded answers: from the gate's own reading of them where the place has one, else by one git
 * process each. Reads a quarantine too.
 */
import { Fault } from '../base/fault.ts';
import {
  ancestorAnswer,
  changesAnswer,
  factsAnswer,
  listAnswer,
  mergeAnswer,
  objectAnswer,
  parentsAnswer,
} from './odb/answers-objects.ts';
import { withinReach, type Odb } from './odb/odb.ts';
import { isZeroOid, type Oid } from './oid.ts';
import type { GitProcesses, GitSpec } from './processes.ts';
import { runGit, runGitOk } from './run.ts';

/** Where to ask. With `objectDirectory` the objects of that quarantine are seen beside the repository's. */
export interface ObjectPlace {
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly gitDir: string;
  readonly objectDirectory?: string;
  /** The same objects, read without a process where that is possible. */
  readonly odb?: Odb;
  readonly signal?: AbortSignal;
  readonly requestId?: string;
}

export const OBJECT_TYPES = ['commit', 'tree', 'blob', 'tag'] as const;
export type ObjectType = (typeof OBJECT_TYPES)[number];

export interface ObjectFacts {
  readonly oid: Oid;
  readonly type: ObjectType;
  readonly sizeBytes: number;
}

export interface TreeEntry {
  /** `100644`, `40000`: octal digits as git prints them. */
  readonly mode: string;
  readonly type: ObjectType;
  readonly oid: Oid;
  /** From the root of the tree asked for; bytes that are not UTF-8 show as U+FFFD. */
  readonly path: string;
}

export interface ChangedPath {
  readonly status: 'added' | 'modified' | 'deleted' | 'renamed' | 'type-changed';
  readonly path: string;
  /** Where it lay before, for `renamed`. */
  readonly oldPath?: string;
  readonly oldMode: string;
  readonly newMode: string;
  readonly oldOid: Oid;
  readonly newOid: Oid;
}

const DEADLINE_MS = 60_000;
/** Oids in one process. */
const BATCH = 100_000;

/** A git that looks at the objects of a place, for a minute at most. */
export function specOf(place: ObjectPlace, spec: Pick<GitSpec, 'subcommand' | 'options' | 'operands'>): GitSpec {
  const { gitDir, objectDirectory, signal, requestId } = place;
  return {
    ...spec,
    gitDir,
    deadlineMs: DEADLINE_MS,
    ...(objectDirectory === undefined ? {} : { objectDirectory }),
    ...(signal === undefined ? {} : { signal }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}

/**
 * Type and size of each of `names` (oids, `rev^{}`, `rev:path`); undefined for one that does not exist. Same order.
 * @throws Fault `bad-input` for a name with a line end, `process`.
 */
export async function factsOf(
  place: ObjectPlace,
  names: readonly string[],
): Promise<readonly (ObjectFacts | undefined)[]> {
  const own = await answered(place, (odb) => factsAnswer(odb, names));
  if (own !== undefined) return own;
  const facts: (ObjectFacts | undefined)[] = [];
  for (let start = 0; start < names.length; start += BATCH) {
    facts.push(...(await factsOfBatch(place, names.slice(start, start + BATCH))));
  }
  return facts;
}

async function factsOfBatch(place: ObjectPlace, names: readonly string[]): Promise<(ObjectFacts | undefined)[]> {
  assertOneLineEach(names);
  const options = ['--batch-check=%(objectname) %(objecttype) %(objectsize)', '--buffer'];
  const spec = specOf(place, { subcommand: 'cat-file', options });
  const output = await runGitOk(place.processes, spec, Buffer.from(names.map((name) => `${name}\n`).join('')));
  const lines = output.toString('utf8').split('\n').slice(0, -1);
  if (lines.length !== names.length) {
    throw new Fault('process', 'git answered too little', { context: { asked: names.length, lines: lines.length } });
  }
  return lines.map(parseFacts);
}

function parseFacts(line: string): ObjectFacts | undefined {
  const match = /^([0-9a-f]{40,64}) (commit|tree|blob|tag) (\d+)$/.exec(line);
  if (match === null) return undefined;
  const [, oid = '', type, size] = match;
  return { oid: oid as Oid, type: type as ObjectType, sizeBytes: Number(size) };
}

/** The type of one object, or undefined where it does not exist. */
export async function typeOf(place: ObjectPlace, name: string): Promise<ObjectType | undefined> {
  const [facts] = await factsOf(place, [name]);
  return facts?.type;
}

/**
 * The bytes of a blob (`oid` or `rev:path`); undefined where there is none.
 * @throws Fault `bad-input` where it is larger than `bytesMax`, or no blob.
 */
export async function readBlob(place: ObjectPlace, name: string, bytesMax: number): Promise<Buffer | undefined> {
  return readObject(place, { name, type: 'blob', bytesMax });
}

/** As `readBlob`, for any one type. */
export async function readObject(
  place: ObjectPlace,
  { name, type, bytesMax }: { readonly name: string; readonly type: ObjectType; readonly bytesMax: number },
): Promise<Buffer | undefined> {
  const own = await answered(place, (odb) => objectAnswer(odb, name));
  const facts =
    own === undefined
      ? (await factsOf(place, [name]))[0]
      : { oid: own.oid, type: own.type, sizeBytes: own.bytes.length };
  if (facts === undefined) return undefined;
  if (facts.type !== type) throw new Fault('bad-input', 'object has another type', { context: { name, ...facts } });
  if (facts.sizeBytes > bytesMax) throw new Fault('bad-input', 'object is too large', { context: { name, ...facts } });
  if (own !== undefined) return own.bytes;
  const spec = specOf(place, { subcommand: 'cat-file', options: ['--batch'] });
  const output = await runGitOk(place.processes, spec, Buffer.from(`${facts.oid}\n`));
  const start = output.indexOf(0x0a) + 1;
  return output.subarray(start, start + facts.sizeBytes);
}

/** The parents of each commit, in order. @throws Fault `process` where one is no commit. */
export async function parentsOf(
  place: ObjectPlace,
  commits: readonly Oid[],
): Promise<ReadonlyMap<Oid, readonly Oid[]>> {
  if (commits.length === 0) return new Map();
  const own = await answered(place, (odb) => parentsAnswer(odb, commits));
  if (own !== undefined) return own;
  const spec = specOf(place, { subcommand: 'rev-list', options: ['--no-walk=unsorted', '--parents', '--stdin'] });
  const output = await runGitOk(place.processes, spec, Buffer.from(commits.map((oid) => `${oid}\n`).join('')));
  const lines = output.toString('latin1').split('\n').slice(0, -1);
  return new Map(
    lines.map((line) => {
      const [commit, ...parents] = line.split(' ') as Oid[];
      return [commit as Oid, parents];
    }),
  );
}

/** Whether every commit of `ancestor`'s history is in `descendant`'s: the update is a fast-forward. @throws Fault `process`. */
export async function isAncestor(place: ObjectPlace, ancestor: Oid, descendant: Oid): Promise<boolean> {
  const own = await answered(place, (odb) => ancestorAnswer(odb, ancestor, descendant));
  if (own !== undefined) return own;
  const options = ['--is-ancestor'];
  const spec = specOf(place, { subcommand: 'merge-base', options, operands: [ancestor, descendant] });
  const { code, stderr } = await runGit(place.processes, spec);
  if (code === 0 || code === 1) return code === 0;
  throw new Fault('process', 'git failed', { context: { subcommand: 'merge-base', code, stderr } });
}

/**
 * Whether a merge is among the commits that an update brings; false for a creation, a deletion and what is no history.
 * @throws Fault `process`.
 */
export async function bringsMerge(place: ObjectPlace, from: Oid, to: Oid): Promise<boolean> {
  if (isZeroOid(from) || isZeroOid(to)) return false;
  const [old, now] = await factsOf(place, [`${from}^{commit}`, `${to}^{commit}`]);
  if (old === undefined || now === undefined) return false;
  const own = await answered(place, (odb) => mergeAnswer(odb, old.oid, now.oid));
  if (own !== undefined) return own;
  const spec = specOf(place, { subcommand: 'rev-list', options: ['--merges', '--max-count=1', '--stdin'] });
  const output = await runGitOk(place.processes, spec, Buffer.from(`${now.oid}\n^${old.oid}\n`));
  return output.length > 0;
}

/** The entries of a tree. `prefix`: only that path, or below it with a final `/`. @throws Fault `process`. */
export async function listTree(
  place: ObjectPlace,
  treeish: string,
  asked: { readonly recursive?: boolean; readonly prefix?: string } = {},
): Promise<readonly TreeEntry[]> {
  const own = await answered(place, (odb) => listAnswer(odb, treeish, asked));
  if (own !== undefined) return own;
  const { recursive = false, prefix } = asked;
  const options = ['-z', '--full-tree', ...(recursive ? ['-r'] : [])];
  const operands = [treeish, ...(prefix === undefined || prefix === '' ? [] : [prefix])];
  const output = await runGitOk(place.processes, specOf(place, { subcommand: 'ls-tree', options, operands }));
  return fieldsOf(output).map((field) => {
    const match = /^(\d+) (\w+) ([0-9a-f]+)\t(.*)$/s.exec(field);
    if (match === null) throw new Fault('process', 'git answered strangely', { context: { field } });
    const [, mode = '', type, oid, path = ''] = match;
    return { mode, type: type as ObjectType, oid: oid as Oid, path };
  });
}

/**
 * The paths in which two commits or trees differ; `undefined` as the old one: all of the new one's. Renames are found.
 * @throws Fault `process`.
 */
export async function changedPaths(
  place: ObjectPlace,
  oldOid: Oid | undefined,
  newOid: Oid,
): Promise<readonly ChangedPath[]> {
  const common = ['--raw', '-z', '-r', '--full-index', '--find-renames', '--no-commit-id'];
  if (oldOid === undefined) return addedPaths(place, newOid);
  const own = await answered(place, (odb) => changesAnswer(odb, oldOid, newOid));
  if (own !== undefined) return own;
  const spec = specOf(place, { subcommand: 'diff-tree', options: common, operands: [oldOid, newOid] });
  return parseRaw(fieldsOf(await runGitOk(place.processes, spec)));
}

async function addedPaths(place: ObjectPlace, treeish: Oid): Promise<readonly ChangedPath[]> {
  const entries = await listTree(place, treeish, { recursive: true });
  const nothing = '0'.repeat(treeish.length) as Oid;
  return entries.map(({ mode, oid, path }) => {
    return { status: 'added', path, oldMode: '000000', newMode: mode, oldOid: nothing, newOid: oid };
  });
}

const STATUSES = { A: 'added', M: 'modified', D: 'deleted', R: 'renamed', C: 'added', T: 'type-changed' } as const;

/** git-diff-tree(1), "RAW OUTPUT FORMAT": `:mode mode oid oid status`, path, and for a rename another path. */
function parseRaw(fields: readonly string[]): readonly ChangedPath[] {
  const changes: ChangedPath[] = [];
  for (let index = 0; index < fields.length;) {
    const match = /^:(\d{6}) (\d{6}) ([0-9a-f]+) ([0-9a-f]+) ([AMDRCT])\d*$/.exec(fields[index] ?? '');
    const [, oldMode, newMode, oldOid, newOid, letter] = match ?? [];
    const path = fields[index + 1];
    if (match === null || path === undefined) {
      throw new Fault('process', 'git answered strangely', { context: { field: fields[index] } });
    }
    const status = STATUSES[letter as keyof typeof STATUSES];
    const oids = { oldOid: oldOid as Oid, newOid: newOid as Oid };
    const modes = { oldMode: oldMode ?? '', newMode: newMode ?? '' };
    const isTwo = letter === 'R' || letter === 'C';
    const newPath = isTwo ? (fields[index + 2] ?? '') : path;
    changes.push({ status, path: newPath, ...(status === 'renamed' ? { oldPath: path } : {}), ...modes, ...oids });
    index += isTwo ? 3 : 2;
  }
  return changes;
}

/** What the gate reads by itself; undefined where git is to be asked. */
export async function answered<T>(place: ObjectPlace, ask: (odb: Odb) => Promise<T>): Promise<T | undefined> {
  const { odb } = place;
  return odb === undefined ? undefined : (await withinReach(() => ask(odb)))?.answer;
}

function fieldsOf(output: Buffer): readonly string[] {
  return output.toString('utf8').split('\0').slice(0, -1);
}

function assertOneLineEach(names: readonly string[]): void {
  const wrong = names.find((name) => /[\n\0]/.test(name) || name === '');
  if (wrong !== undefined) throw new Fault('bad-input', 'object name has a line end', { context: { name: wrong } });
}
