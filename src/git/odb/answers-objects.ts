/** The questions of `objects.ts`, answered without a process: as git answers, or `BeyondReach`. */
import type { ChangedPath, ObjectFacts, ObjectType, TreeEntry } from '../objects.ts';
import { zeroOid, type Oid } from '../oid.ts';
import { BeyondReach, type Odb } from './odb.ts';
import { BoundedReader, readTyped, tagNode, textOf } from './walk-objects.ts';
import { hasMergeBetween, leadsTo } from './walk-history.ts';
import { changesOf, entriesOf, type TreeChange } from './walk-trees.ts';

/** Commits that one question walks: a git process costs about as much. */
const COMMITS_MAX = 256;
/** Trees likewise, for listings and comparisons. */
const TREES_MAX = 1_000;
/** Entries of an answer. */
const ENTRIES_MAX = 20_000;
/** Names of one question. */
const NAMES_MAX = 1_000;
const TAG_DEPTH_MAX = 16;
const NAME = /^([0-9a-f]{40}|[0-9a-f]{64})(\^\{(?:commit|tree)\})?$/;

export function readerOf(odb: Odb, most = COMMITS_MAX): BoundedReader {
  return new BoundedReader(odb, most);
}

/** Of oids, `oid^{commit}` and `oid^{tree}`. @throws BeyondReach where any is missing: git has the last word on that. */
export async function factsAnswer(odb: Odb, names: readonly string[]): Promise<readonly (ObjectFacts | undefined)[]> {
  if (names.length > NAMES_MAX) throw new BeyondReach('more names than are looked up');
  const facts: (ObjectFacts | undefined)[] = [];
  for (const name of names) facts.push(await factsAnswerOf(odb, name));
  return facts;
}

async function factsAnswerOf(odb: Odb, name: string): Promise<ObjectFacts | undefined> {
  const [, oid = '', form] = NAME.exec(name) ?? [];
  if (oid === '') throw new BeyondReach('only git knows such names');
  if (form === undefined) return headerFacts(odb, oid as Oid); // digits, as NAME says
  const peeled = await peeledTo(odb, oid as Oid, form === '^{tree}' ? 'tree' : 'commit');
  return peeled === undefined ? undefined : headerFacts(odb, peeled);
}

async function headerFacts(odb: Odb, oid: Oid): Promise<ObjectFacts> {
  const header = await odb.header(oid);
  if (header === undefined) throw new BeyondReach('there is no such object');
  return { oid, type: header.type, sizeBytes: header.size };
}

/** Undefined where it leads to no such object. */
async function peeledTo(odb: Odb, oid: Oid, wanted: 'commit' | 'tree'): Promise<Oid | undefined> {
  let at = oid;
  for (let depth = 0; depth < TAG_DEPTH_MAX; depth += 1) {
    const { type } = await headerFacts(odb, at);
    if (type === wanted) return at;
    if (type === 'commit') return (await readerOf(odb).commit(at)).tree;
    if (type !== 'tag') return undefined;
    at = tagNode(at, (await readTyped(odb, at, 'tag')).bytes).target;
  }
  throw new BeyondReach('tags of tags of tags');
}

/** @throws BeyondReach */
export async function objectAnswer(odb: Odb, name: string): Promise<{ type: ObjectType; bytes: Buffer; oid: Oid }> {
  const [, oid = '', form] = NAME.exec(name) ?? [];
  if (oid === '' || form !== undefined) throw new BeyondReach('only git knows such names');
  const object = await odb.read(oid as Oid); // digits, as NAME says
  if (object === undefined) throw new BeyondReach('there is no such object');
  return { ...object, oid: oid as Oid };
}

/** @throws BeyondReach */
export async function parentsAnswer(odb: Odb, commits: readonly Oid[]): Promise<ReadonlyMap<Oid, readonly Oid[]>> {
  const reader = readerOf(odb);
  const parents = new Map<Oid, readonly Oid[]>();
  for (const oid of commits) parents.set(oid, (await reader.commit(oid)).parents);
  return parents;
}

/** @throws BeyondReach */
export function ancestorAnswer(odb: Odb, ancestor: Oid, descendant: Oid): Promise<boolean> {
  return leadsTo(readerOf(odb), descendant, ancestor);
}

/** Of two commits. @throws BeyondReach */
export function mergeAnswer(odb: Odb, from: Oid, to: Oid): Promise<boolean> {
  return hasMergeBetween(readerOf(odb), from, to);
}

/** @throws BeyondReach */
export async function listAnswer(
  odb: Odb,
  treeish: string,
  { recursive = false, prefix }: { readonly recursive?: boolean; readonly prefix?: string },
): Promise<readonly TreeEntry[]> {
  if (prefix !== undefined && prefix !== '') throw new BeyondReach('only git looks below a path');
  const tree = await treeAnswer(odb, treeish);
  const entries: TreeEntry[] = [];
  for await (const { mode, type, oid, path } of entriesOf(readerOf(odb, TREES_MAX), tree, {
    deep: recursive,
    trees: false,
  })) {
    if (entries.length >= ENTRIES_MAX) throw new BeyondReach('more entries than are listed');
    entries.push({ mode: sixDigits(mode), type, oid, path: textOf(path) });
  }
  return entries;
}

/** The tree that an oid leads to. @throws BeyondReach where it leads to none. */
export async function treeAnswer(odb: Odb, treeish: string): Promise<Oid> {
  const [, oid = '', form] = NAME.exec(treeish) ?? [];
  const tree = oid === '' || form === '^{commit}' ? undefined : await peeledTo(odb, oid as Oid, 'tree'); // digits
  if (tree === undefined) throw new BeyondReach('that leads to no tree');
  return tree;
}

/** Renames of files that did not change are found; where git would look for similar ones, it is asked. @throws BeyondReach */
export async function changesAnswer(odb: Odb, old: Oid, now: Oid): Promise<readonly ChangedPath[]> {
  const changes: TreeChange[] = [];
  const [from, to] = [await treeAnswer(odb, old), await treeAnswer(odb, now)];
  for await (const change of changesOf(readerOf(odb, TREES_MAX), from, to)) {
    if (changes.length >= ENTRIES_MAX) throw new BeyondReach('more changes than are listed');
    changes.push(change);
  }
  const added = changes.filter((change) => change.old === undefined);
  const gone = changes.filter((change) => change.now === undefined);
  const sources = added.length === 0 || gone.length === 0 ? new Map<Oid, TreeChange>() : renamesOf(added, gone);
  const moved = new Set(sources.values());
  return changes
    .filter((change) => !moved.has(change))
    .map((change) => {
      const source = change.old === undefined && change.now !== undefined ? sources.get(change.now.oid) : undefined;
      return changedPath(change, source);
    });
}

/** New oid -> what was renamed. @throws BeyondReach where not every one of either side has its only twin on the other. */
function renamesOf(added: readonly TreeChange[], gone: readonly TreeChange[]): ReadonlyMap<Oid, TreeChange> {
  const sources = new Map<Oid, TreeChange>();
  for (const change of gone) {
    const { old } = change;
    if (old === undefined || sources.has(old.oid) || !isFile(old.mode)) throw similar();
    sources.set(old.oid, change);
  }
  const found = new Map<Oid, TreeChange>();
  for (const { now } of added) {
    const source = now === undefined ? undefined : sources.get(now.oid);
    if (now === undefined || found.has(now.oid) || !isFile(now.mode)) throw similar();
    if (source !== undefined) found.set(now.oid, source);
  }
  if (found.size < added.length && found.size < gone.length) throw similar();
  return found;
}

function similar(): BeyondReach {
  return new BeyondReach('git may find renames of similar files');
}

function isFile(mode: string): boolean {
  return mode.startsWith('100');
}

function changedPath({ path, old, now }: TreeChange, source: TreeChange | undefined): ChangedPath {
  const before = source?.old ?? old;
  const digits = (now ?? before)?.oid.length;
  const none = zeroOid(digits === 64 ? 'sha256' : 'sha1');
  return {
    status: statusOf(before, now, source !== undefined),
    path: textOf(path),
    ...(source === undefined ? {} : { oldPath: textOf(source.path) }),
    oldMode: before === undefined ? '000000' : sixDigits(before.mode),
    newMode: now === undefined ? '000000' : sixDigits(now.mode),
    oldOid: before?.oid ?? none,
    newOid: now?.oid ?? none,
  };
}

function statusOf(old: TreeChange['old'], now: TreeChange['now'], isRename: boolean): ChangedPath['status'] {
  if (isRename) return 'renamed';
  if (old === undefined) return 'added';
  if (now === undefined) return 'deleted';
  // File, link or submodule: the first three digits.
  return old.mode.slice(0, 3) === now.mode.slice(0, 3) ? 'modified' : 'type-changed';
}

/** As git prints modes. */
export function sixDigits(mode: string): string {
  return mode.padStart(6, '0');
}
