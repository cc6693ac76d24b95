/**
 * The objects that tips bring over what is known already, with their bytes, for the secret scan: whatever a ref may lead
 * to, each object once, a blob once more for each further path. Of a push that is in memory without a process, else by two
 * git processes, however many objects there are.
 */
import { Fault } from '../base/fault.ts';
import { Stint } from '../base/stint.ts';
import { withinReach } from '../git/odb/odb.ts';
import { textOf } from '../git/odb/walk-objects.ts';
import { oidHexLength, type Oid } from '../git/oid.ts';
import { innerProcesses, type GitProcess, type GitProcesses, type GitSpec } from '../git/processes.ts';
import { writeAll } from '../git/stream.ts';
import type { Repository } from '../repository/repository.ts';
import type { ScanItem } from '../scan/scanner.ts';
import type { Listed, PushObjects } from './connectivity-walk.ts';
import { eachLine, wholeLines } from './lines.ts';
import { ObjectReader, type BatchObject } from './object-reader.ts';
import { treeEntries } from './tree-bytes.ts';

export interface NewObjectsOptions {
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly repository: Pick<Repository, 'path' | 'objectFormat'>;
  /** The quarantine; undefined: nothing new lies outside the repository. */
  readonly objectDirectory: string | undefined;
  readonly tips: readonly Oid[];
  /** What is known already: every ref of the repository, or these. */
  readonly known: 'refs' | readonly Oid[];
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly requestId: string;
  /** More objects than this: `Fault` bad-input. */
  readonly objectsMax: number;
  /** What the push brings, where that is in memory. */
  readonly brought?: PushObjects | undefined;
  /** Larger blobs, in bytes, are left out; undefined: none are. */
  readonly blobsBelow?: number;
}

/** Paths of one object beyond its first, over all objects. */
const FURTHER_PATHS_MAX = 200_000;
/** Entries of one commit's new trees, old files among them, for each object that may come. */
const AWAITED_A_OBJECT = 2;
/** Entries of a tree between two looks at the clock. */
const ENTRIES_TOGETHER = 512;
/** In trees, names are text of their own: a file may be empty and its name be the secret. */
const DIRECTORY = 'tree';

/** @throws Fault `process`, `timeout`, `aborted`; `bad-input` with a public message where there are too many objects. */
export async function* newObjects(options: NewObjectsOptions): AsyncGenerator<ScanItem> {
  if (options.tips.length === 0) return;
  const seen = new SeenPaths(options.objectsMax);
  const listed = await listInMemory(options);
  if (listed !== undefined) {
    for (const one of listed) yield* itemsOfObject(batchObject(one), seen);
    for (const line of seen.further) yield* itemsOfObject(furtherObject(line, options.brought), undefined);
    return;
  }
  yield* itemsOf(options, listLines(options), seen);
  const further = seen.further;
  if (further.length > 0)
    yield* itemsOf(options, [Buffer.from(further.map((line) => `${line}\n`).join(''))], undefined);
}

/** These objects, at these paths. Each has to exist. @throws Fault as `newObjects`. */
export function objectsNamed(
  options: Omit<NewObjectsOptions, 'tips' | 'known'>,
  named: readonly { readonly oid: Oid; readonly path: string }[],
): AsyncIterable<ScanItem> {
  const lines = named.map(({ oid, path }) => `${oid} - ${path}\n`).join('');
  return itemsOf({ ...options, tips: [], known: [] }, [Buffer.from(lines)], undefined);
}

/** Of `oids`, those that the tips bring, each with the first commit that does, or an empty text. @throws Fault as `newObjects`. */
export async function oidsBrought(
  options: NewObjectsOptions,
  oids: ReadonlySet<string>,
): Promise<ReadonlyMap<string, string>> {
  const digits = oidHexLength(options.repository.objectFormat);
  const found = new Map<string, string>();
  const listed = await listInMemory(options);
  if (listed !== undefined) {
    for (const { oid, commit } of listed) if (oids.has(oid)) found.set(oid, commit);
    return found;
  }
  for await (const lines of listLines(options)) {
    eachLine(lines, (start, end) => {
      const oid = lines.toString('latin1', start, start + digits);
      if (oids.has(oid)) found.set(oid, placeOf(lines.toString('utf8', start + digits + 1, end)).commit);
    });
  }
  return found;
}

/** As `listLines` lists them; undefined where git has to. */
async function listInMemory(options: NewObjectsOptions): Promise<readonly Listed[] | undefined> {
  const { brought, known, tips, objectsMax, blobsBelow = Infinity } = options;
  if (brought === undefined || known !== 'refs') return undefined;
  const listed = await withinReach(async () => (await brought.walk(tips)).list('oldest-first'));
  const wanted = listed?.answer.filter(({ object }) => object.type !== 'blob' || object.bytes.length < blobsBelow);
  if (wanted !== undefined && wanted.length > objectsMax) throw tooMany(objectsMax);
  return wanted;
}

/** `path` is bytes as characters; git writes one up to a line end only. */
function batchObject({ oid, object, commit, path }: Listed): BatchObject {
  const { type, bytes } = object;
  const [line = ''] = textOf(path).split('\n', 1);
  const rest = type === 'commit' ? oid : `${commit === '' ? '-' : commit} ${line}`;
  return { oid, type, size: bytes.length, rest, content: bytes, whole: async () => bytes };
}

/** `OID COMMIT PATH` */
function furtherObject(line: string, brought: PushObjects | undefined): BatchObject {
  const space = line.indexOf(' ');
  const oid = line.slice(0, space) as Oid; // of an object that was listed
  const object = brought?.sent.get(oid);
  if (object === undefined) throw new Fault('internal', 'listed object is not in memory', { context: { oid } });
  const { type, bytes } = object;
  return { oid, type, size: bytes.length, rest: line.slice(space + 1), content: bytes, whole: async () => bytes };
}

/** `seen` undefined: nothing is remembered. */
async function* itemsOf(
  options: NewObjectsOptions,
  lines: AsyncIterable<Buffer> | Iterable<Buffer>,
  seen: SeenPaths | undefined,
): AsyncGenerator<ScanItem> {
  await using git = await options.processes.start(
    specOf(options, 'cat-file', ['--batch=%(objectname) %(objecttype) %(objectsize) %(rest)', '--buffer']),
  );
  const broken = new AbortController();
  const asking = feed(git, lines, options.signal);
  asking.catch((error: unknown) => broken.abort(error));
  const reader = new ObjectReader(git.stdout, AbortSignal.any([options.signal, broken.signal]));
  try {
    for (;;) {
      const object = await reader.next();
      if (object === undefined) break;
      yield* itemsOfObject(object, seen);
    }
  } catch (error) {
    // What could not be asked is the reason why nothing was answered.
    if (broken.signal.aborted && !options.signal.aborted) throw broken.signal.reason;
    throw error;
  }
  await asking;
  await assertEnded(git, 'cat-file');
}

async function* itemsOfObject(object: BatchObject, seen: SeenPaths | undefined): AsyncGenerator<ScanItem> {
  const { oid, type, size, rest } = object;
  const { commit, path } = placeOf(rest);
  seen?.begin(commit);
  const about = { oid, size, ...(commit === '' ? {} : { commit }) };
  switch (type) {
    case 'commit':
      yield { ...about, kind: 'commit', path: '', commit: oid, content: object.content };
      return;
    case 'tag':
      yield { oid, size, kind: 'tag', path: '', content: object.content };
      return;
    case 'blob':
      seen?.addBlob(oid, path);
      yield { ...about, kind: 'blob', path, content: object.content };
      return;
    case DIRECTORY: {
      const names: string[] = [];
      const stint = new Stint();
      for (const entry of treeEntries(await object.whole(), oid.length / 2)) {
        const full = path === '' ? entry.name : `${path}/${entry.name}`;
        if (entry.isBlob) seen?.addEntry(entry.oid, full);
        // A directory of a million files is a second's work.
        if (names.push(entry.name) % ENTRIES_TOGETHER === 0 && stint.isOver) await stint.rest();
      }
      yield { ...about, kind: 'tree', path, content: Buffer.from(names.join('\n')) };
      return;
    }
    default:
      throw new Fault('corrupt', 'object has an unknown type', { context: { oid, type } });
  }
}

/** `COMMIT PATH`, as `listLines` wrote it; the commit is `-` where none brought it. */
function placeOf(rest: string): { readonly commit: string; readonly path: string } {
  const space = rest.indexOf(' ');
  const commit = space < 0 ? rest : rest.slice(0, space);
  return { commit: commit === '-' ? '' : commit, path: space < 0 ? '' : rest.slice(space + 1) };
}

/** Which paths of blobs were given out: a copy of a file may lie where other rules look. */
class SeenPaths {
  readonly #objectsMax: number;
  readonly #blobs = new Map<string, string>();
  readonly #further = new Map<string, string>();
  /** Paths that trees of this commit name, of blobs that did not come yet: most of them never do, for they are old. */
  readonly #awaited = new Map<string, string[]>();
  /** Paths in `#awaited`: one old file may lie at any number of places. */
  #awaitedPaths = 0;
  #commit = '';

  constructor(objectsMax: number) {
    this.#objectsMax = objectsMax;
  }

  /** Lines for another round. */
  get further(): readonly string[] {
    return [...this.#further.values()];
  }

  /** A commit's new objects come together: what its trees name and did not come by its end is not new. */
  begin(commit: string): void {
    if (commit === this.#commit) return;
    this.#commit = commit;
    this.#awaited.clear();
    this.#awaitedPaths = 0;
  }

  addBlob(oid: string, path: string): void {
    this.#blobs.set(oid, path);
    const awaited = this.#awaited.get(oid) ?? [];
    for (const other of awaited) if (other !== path) this.#addFurther(oid, other);
    this.#awaitedPaths -= awaited.length;
    this.#awaited.delete(oid);
  }

  addEntry(oid: string, path: string): void {
    const first = this.#blobs.get(oid);
    if (first !== undefined) {
      if (first !== path) this.#addFurther(oid, path);
      return;
    }
    if (this.#awaitedPaths >= AWAITED_A_OBJECT * this.#objectsMax) throw tooMany(this.#objectsMax);
    this.#awaitedPaths += 1;
    const paths = this.#awaited.get(oid);
    if (paths === undefined) this.#awaited.set(oid, [path]);
    else paths.push(path);
  }

  #addFurther(oid: string, path: string): void {
    if (this.#further.size >= FURTHER_PATHS_MAX) throw tooMany(FURTHER_PATHS_MAX);
    const commit = this.#commit === '' ? '-' : this.#commit;
    this.#further.set(`${oid} ${path}`, `${oid} ${commit} ${path.replaceAll('\n', '?')}`);
  }
}

function tooMany(most: number): Fault {
  return new Fault('bad-input', 'too many objects for the secret scan', {
    publicMessage: `the secret scan looks at ${most} objects at once at most: push the history in parts`,
  });
}

const LF = 0x0a;
const SPACE = 0x20;

/** Lines of `OID COMMIT PATH`, oldest commits first, each with what it is the first to bring. `itemsOf` reads them with a git in hand. */
async function* listLines(options: NewObjectsOptions): AsyncGenerator<Buffer> {
  const { tips, known, signal } = options;
  const digits = oidHexLength(options.repository.objectFormat);
  const { blobsBelow } = options;
  const filter = blobsBelow === undefined ? [] : [`--filter=blob:limit=${blobsBelow}`, '--filter-provided-objects'];
  const walk = ['--objects', '--in-commit-order', '--reverse', ...filter, '--stdin'];
  await using git = await innerProcesses(options.processes).start(
    specOf(options, 'rev-list', known === 'refs' ? [...walk, '--not', '--all'] : walk),
  );
  const negative = known === 'refs' ? [] : known.map((oid) => `^${oid}`);
  const asking = feed(git, [Buffer.from([...tips, ...negative].map((line) => `${line}\n`).join(''))], signal);
  asking.catch(() => {});
  let commit = Buffer.from('-');
  let objects = 0;
  for await (const lines of wholeLines(git.stdout)) {
    const pieces: Buffer[] = [];
    eachLine(lines, (start, end) => {
      objects += 1;
      // An object that is no commit has a blank behind its name, even where no path follows.
      const isCommit = end - start === digits;
      if (isCommit) commit = Buffer.from(lines.subarray(start, end));
      pieces.push(lines.subarray(start, start + digits), Buffer.of(SPACE), commit);
      if (!isCommit) pieces.push(lines.subarray(start + digits, end));
      pieces.push(Buffer.of(LF));
    });
    if (objects > options.objectsMax) throw tooMany(options.objectsMax);
    yield Buffer.concat(pieces);
  }
  await assertEnded(git, 'rev-list');
}

async function feed(
  git: GitProcess,
  lines: AsyncIterable<Buffer> | Iterable<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  git.stdin.on('error', () => {}); // its exit code says what happened
  for await (const chunk of lines) await writeAll(git.stdin, chunk, signal);
  git.stdin.end();
}

async function assertEnded(git: GitProcess, subcommand: string): Promise<void> {
  const exit = await git.exit;
  if (exit.ended === 'deadline') throw new Fault('timeout', 'git took too long', { context: { subcommand } });
  if (exit.ended === 'aborted') throw new Fault('aborted', 'git was aborted', { context: { subcommand } });
  if (exit.code !== 0)
    throw new Fault('process', 'git failed', { context: { subcommand, code: exit.code, stderr: exit.stderr } });
}

function specOf(options: NewObjectsOptions, subcommand: GitSpec['subcommand'], flags: readonly string[]): GitSpec {
  const { repository, objectDirectory, deadlineMs, signal, requestId } = options;
  return {
    subcommand,
    options: flags,
    gitDir: repository.path,
    ...(objectDirectory === undefined ? {} : { objectDirectory }),
    deadlineMs,
    signal,
    requestId,
  };
}
