/** Changed files against the rules that need their sizes or their contents, asked of git for many files at once. */
import { BOUNDS } from '../../base/bounds.ts';
import { Fault } from '../../base/fault.ts';
import { answered, factsOf, specOf, type ObjectPlace } from '../../git/objects.ts';
import { BeyondReach, type Odb, type RawObject } from '../../git/odb/odb.ts';
import type { Oid } from '../../git/oid.ts';
import { assertOwnEnd } from '../../git/run.ts';
import { ObjectReader, WHOLE_BYTES_MAX } from '../object-reader.ts';
import { matchesAny, type Check } from './check.ts';
import type { ChangedFile } from './changed-files.ts';
import { MODES, staysInside, submoduleUrls } from './path-rules.ts';

/** A file of a commit, and the checks that ask about it. */
export interface AskedFile {
  readonly commit: Oid;
  readonly file: ChangedFile;
  readonly checks: readonly Check[];
}

export type Complain = (asked: AskedFile, check: Check, words: string) => void;

/** As git tells text from binary: a NUL near the beginning. */
const BINARY_LOOK_BYTES = 8_000;
const LINK_BYTES_MAX = 4_096;

/** Whether a rule of `check` needs more of this file than its name. */
export function needsContents({ rules }: Check, { path, mode }: ChangedFile): boolean {
  if (mode === MODES.link) return rules.symlinks === 'inside';
  if (mode === MODES.gone || mode === MODES.submodule) return false;
  if (rules.fileBytesMax !== undefined || rules.binaryBytesMax !== undefined) return true;
  return path === '.gitmodules' && rules.submodulesOnly !== undefined;
}

/** @throws Fault `process`, `timeout`, `aborted`. */
export async function judgeFiles(place: ObjectPlace, asked: readonly AskedFile[], complain: Complain): Promise<void> {
  if (asked.length === 0) return;
  const sizes = await sizesOf(place, asked);
  let group: SizedFile[] = [];
  let bytes = 0;
  for (const one of asked) {
    const size = sizes.get(one.file.oid) ?? 0;
    for (const check of one.checks) judgeSize(one, check, { size, complain });
    const wanted = contentsWanted(one, size);
    if (wanted.length === 0) continue;
    group.push({ ...one, size, wanted });
    bytes += wanted.reduce((sum, each) => sum + each.bytes, 0);
    if (bytes < HELD_BYTES_MAX) continue;
    await judgeContents(place, group, complain);
    [group, bytes] = [[], 0];
  }
  await judgeContents(place, group, complain);
}

interface SizedFile extends AskedFile {
  readonly size: number;
  readonly wanted: readonly { readonly oid: Oid; readonly bytes: number }[];
}

/** Contents in memory at once. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;

async function judgeContents(place: ObjectPlace, group: readonly SizedFile[], complain: Complain): Promise<void> {
  const wanted = new Map<Oid, number>();
  for (const { oid, bytes } of group.flatMap((one) => one.wanted)) {
    wanted.set(oid, Math.max(bytes, wanted.get(oid) ?? 0));
  }
  const contents = await contentsOf(place, wanted);
  for (const one of group) {
    for (const check of one.checks) {
      const words = contentsProblem(one.file, check, { size: one.size, contents });
      if (words !== undefined) complain(one, check, words);
    }
  }
}

function judgeSize(
  one: AskedFile,
  check: Check,
  { size, complain }: { readonly size: number; readonly complain: Complain },
): void {
  const { fileBytesMax } = check.rules;
  if (one.file.mode === MODES.link || fileBytesMax === undefined || size <= fileBytesMax) return;
  complain(one, check, `the file has ${size} bytes: at most ${fileBytesMax} are taken`);
}

/** What has to be read to judge a file: objects, and so many bytes of each. */
function contentsWanted({ file, checks }: AskedFile, size: number): SizedFile['wanted'] {
  const { oid, oldOid, mode, path } = file;
  if (mode === MODES.link) return [{ oid, bytes: LINK_BYTES_MAX }];
  const isModules = path === '.gitmodules' && checks.some(({ rules }) => rules.submodulesOnly !== undefined);
  const modules = isModules ? [{ oid, bytes: BOUNDS.checkModulesBytesMax }] : [];
  const isOver = checks.some(({ rules }) => rules.binaryBytesMax !== undefined && size > rules.binaryBytesMax);
  const both = isOver ? [oid, ...(oldOid === undefined ? [] : [oldOid])] : [];
  return [...modules, ...both.map((each) => ({ oid: each, bytes: BINARY_LOOK_BYTES }))];
}

function contentsProblem(
  { path, mode, oid, oldOid }: ChangedFile,
  { rules }: Check,
  { size, contents }: { readonly size: number; readonly contents: ReadonlyMap<string, Buffer> },
): string | undefined {
  const bytes = contents.get(oid);
  if (bytes === undefined) return undefined;
  if (mode === MODES.link) {
    if (rules.symlinks !== 'inside') return undefined;
    const isInside = size <= LINK_BYTES_MAX && staysInside(path, bytes.toString('utf8'));
    return isInside ? undefined : 'the symbolic link leads out of the repository';
  }
  const modules = path === '.gitmodules' ? modulesProblem(rules.submodulesOnly, bytes, size) : undefined;
  if (modules !== undefined) return modules;
  const { binaryBytesMax } = rules;
  if (binaryBytesMax === undefined || size <= binaryBytesMax || !isBinary(bytes)) return undefined;
  const old = oldOid === undefined ? undefined : contents.get(oldOid);
  if (old !== undefined && isBinary(old)) return undefined;
  return `the new binary file has ${size} bytes: ${binaryBytesMax === 0 ? 'none is' : `at most ${binaryBytesMax} are`} taken`;
}

function isBinary(bytes: Buffer): boolean {
  return bytes.subarray(0, BINARY_LOOK_BYTES).includes(0);
}

function modulesProblem(only: readonly string[] | undefined, bytes: Buffer, size: number): string | undefined {
  if (only === undefined) return undefined;
  const urls = size > BOUNDS.checkModulesBytesMax ? undefined : submoduleUrls(bytes.toString('utf8'));
  if (urls === undefined) return 'it is too long, or has lines that are not of the plain form "key = value"';
  const wrong = urls.find((url) => !matchesAny(only, url));
  return wrong === undefined
    ? undefined
    : `submodules from ${wrong} are not taken, only from ${only.join(', ') || 'nowhere'}`;
}

async function sizesOf(place: ObjectPlace, asked: readonly AskedFile[]): Promise<ReadonlyMap<string, number>> {
  const oids = [...new Set(asked.map(({ file }) => file.oid))];
  const facts = await factsOf(place, oids);
  return new Map(oids.map((oid, index) => [oid, facts[index]?.sizeBytes ?? 0]));
}

/** The first bytes of each blob. What is no blob (a submodule that became a file) is left out. */
async function contentsOf(place: ObjectPlace, wanted: ReadonlyMap<Oid, number>): Promise<ReadonlyMap<string, Buffer>> {
  const contents = new Map<string, Buffer>();
  const oids = [...wanted.keys()];
  const facts = oids.length === 0 ? [] : await factsOf(place, oids);
  const blobs = oids.filter((_, index) => facts[index]?.type === 'blob');
  if (blobs.length === 0) return contents;
  await readObjects(place, blobs, async (oid, object) => {
    contents.set(oid, await beginning(object.content, wanted.get(oid) ?? 0));
  });
  return contents;
}

async function beginning(content: Uint8Array | AsyncIterable<Uint8Array>, bytes: number): Promise<Buffer> {
  if (content instanceof Uint8Array) return Buffer.from(content.subarray(0, bytes));
  const parts: Uint8Array[] = [];
  let held = 0;
  for await (const part of content) {
    if (held >= bytes) break; // the reader lets go of the rest
    parts.push(Buffer.from(part.subarray(0, bytes - held)));
    held += part.length;
  }
  return Buffer.concat(parts);
}

interface ReadObject {
  readonly type: string;
  readonly size: number;
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
}

/** Gives each object out in this order; all of them have to exist. @throws Fault `process`, `timeout`, `aborted`. */
export async function readObjects(
  place: ObjectPlace,
  oids: readonly Oid[],
  visit: (oid: Oid, object: ReadObject) => Promise<void>,
): Promise<void> {
  const own = await answered(place, (odb) => objectsAnswer(odb, oids));
  if (own !== undefined) {
    for (const { oid, type, bytes } of own) await visit(oid, { type, size: bytes.length, content: bytes });
    return;
  }
  const flags = ['--batch=%(objectname) %(objecttype) %(objectsize) %(rest)', '--buffer'];
  const spec = { ...specOf(place, { subcommand: 'cat-file', options: flags }), deadlineMs: BOUNDS.checkMs };
  await using git = await place.processes.start(spec);
  git.stdin.on('error', () => {}); // its exit code says what happened
  git.stdin.end(Buffer.from(oids.map((oid) => `${oid} \n`).join('')));
  const reader = new ObjectReader(git.stdout, place.signal ?? new AbortController().signal);
  for (const oid of oids) {
    const object = await reader.next();
    // What was not read was not looked at.
    if (object === undefined) throw new Fault('process', 'cat-file left objects out');
    await visit(oid, object);
  }
  await reader.skip();
  const exit = await git.exit;
  assertOwnEnd(exit, spec);
  if (exit.code !== 0) throw new Fault('process', 'git failed', { context: { code: exit.code, stderr: exit.stderr } });
}

/** Without a process: so many objects, and no larger ones than the reader of git's answer holds whole. */
const OWN_OBJECTS_MAX = 200;

/** @throws BeyondReach */
async function objectsAnswer(odb: Odb, oids: readonly Oid[]): Promise<readonly (RawObject & { readonly oid: Oid })[]> {
  if (oids.length > OWN_OBJECTS_MAX) throw new BeyondReach('more objects than are read');
  const objects: (RawObject & { readonly oid: Oid })[] = [];
  let held = 0;
  for (const oid of oids) {
    const object = await odb.read(oid);
    if (object === undefined || object.bytes.length > WHOLE_BYTES_MAX) throw new BeyondReach('git reads that');
    held += object.bytes.length;
    if (held > HELD_BYTES_MAX) throw new BeyondReach('more bytes than are held');
    objects.push({ ...object, oid });
  }
  return objects;
}
