/** What a held push would bring, for whoever has to decide: commits, changed paths, a patch; each bounded. */
import type { Readable } from 'node:stream';
import { BOUNDS } from '../base/bounds.ts';
import { Fault } from '../base/fault.ts';
import { changedPaths, factsOf, specOf, type ChangedPath, type ObjectPlace } from '../git/objects.ts';
import { isZeroOid, type Oid } from '../git/oid.ts';
import { runGitOk } from '../git/run.ts';
import type { HeldRef } from './hold-record.ts';

export interface HeldCommit {
  readonly oid: string;
  readonly author: string;
  readonly subject: string;
}

export interface RefView {
  readonly refname: string;
  /** 'commit' | 'tag' ...; undefined: a deletion. */
  readonly type: string | undefined;
  /** What no ref of the repository holds yet, newest first. */
  readonly commits: readonly HeldCommit[];
  readonly hasMoreCommits: boolean;
  readonly paths: readonly ChangedPath[];
  readonly hasMorePaths: boolean;
  /** Text; undefined where it was not asked for or there is none. */
  readonly patch: string | undefined;
  readonly isPatchCut: boolean;
}

/** @throws Fault `process`, `timeout`, `aborted`. */
export async function viewRef(
  place: ObjectPlace,
  ref: HeldRef,
  options: { readonly patch: boolean },
): Promise<RefView> {
  const { refname, oldOid, newOid } = ref;
  const nothing = { commits: [], hasMoreCommits: false, paths: [], hasMorePaths: false, patch: undefined };
  if (isZeroOid(newOid)) return { refname, type: undefined, ...nothing, isPatchCut: false };
  const [now] = await factsOf(place, [newOid]);
  const [tip] = await factsOf(place, [`${newOid}^{commit}`]);
  if (tip === undefined) return { refname, type: now?.type, ...nothing, isPatchCut: false };
  const commits = await commitsOf(place, tip.oid);
  const base = await baseOf(place, { oldOid, tip: tip.oid });
  const paths = base === tip.oid ? [] : await changedPaths(place, base, tip.oid);
  const wanted = options.patch && base !== undefined && base !== tip.oid;
  const patch = wanted ? await patchOf(place, base, tip.oid) : undefined;
  return {
    refname,
    type: now?.type,
    commits: commits.slice(0, BOUNDS.heldCommitsShownMax),
    hasMoreCommits: commits.length > BOUNDS.heldCommitsShownMax,
    paths: paths.slice(0, BOUNDS.heldPathsShownMax),
    hasMorePaths: paths.length > BOUNDS.heldPathsShownMax,
    patch: patch?.text,
    isPatchCut: patch?.isCut ?? false,
  };
}

async function commitsOf(place: ObjectPlace, tip: Oid): Promise<readonly HeldCommit[]> {
  const max = `--max-count=${BOUNDS.heldCommitsShownMax + 1}`;
  const options = [max, '--no-commit-header', '--format=%H%x00%an <%ae>%x00%s', '--stdin', '--not', '--all'];
  const output = await runGitOk(place.processes, specOf(place, { subcommand: 'rev-list', options }), lines([tip]));
  const rows = output.toString('utf8').split('\n').slice(0, -1);
  return rows.map((row) => {
    const [oid = '', author = '', subject = ''] = row.split('\0');
    return { oid, author, subject };
  });
}

/** What the tip is compared with: the old commit; of a new ref, where its first line of parents leaves the repository. */
async function baseOf(
  place: ObjectPlace,
  { oldOid, tip }: { readonly oldOid: Oid; readonly tip: Oid },
): Promise<Oid | undefined> {
  if (!isZeroOid(oldOid)) {
    const [old] = await factsOf(place, [`${oldOid}^{commit}`]);
    if (old !== undefined) return old.oid;
  }
  const options = [`--max-count=${FIRST_PARENTS_MAX}`, '--first-parent', '--parents', '--stdin', '--not', '--all'];
  const output = await runGitOk(place.processes, specOf(place, { subcommand: 'rev-list', options }), lines([tip]));
  const last = output.toString('latin1').split('\n').at(-2);
  if (last === undefined) return tip;
  return last.split(' ')[1] as Oid | undefined; // as git writes it
}

const FIRST_PARENTS_MAX = 10_000;

async function patchOf(
  place: ObjectPlace,
  from: Oid,
  to: Oid,
): Promise<{ readonly text: string; readonly isCut: boolean }> {
  const options = ['-p', '-r', '--find-renames', '--no-ext-diff', '--no-textconv', '--no-commit-id'];
  await using git = await place.processes.start(
    specOf(place, { subcommand: 'diff-tree', options, operands: [from, to] }),
  );
  git.stdin.on('error', () => {});
  git.stdin.end();
  const some = await readSome(git.stdout, BOUNDS.heldPatchBytesMax);
  if (some.isCut) return some;
  const { code, stderr } = await git.exit;
  if (code !== 0) throw new Fault('process', 'git failed', { context: { subcommand: 'diff-tree', code, stderr } });
  return some;
}

/** The start of a stream; what is behind it is not waited for. */
async function readSome(
  stream: Readable,
  bytesMax: number,
): Promise<{ readonly text: string; readonly isCut: boolean }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    const part = Buffer.from(chunk as Uint8Array);
    chunks.push(part);
    bytes += part.length;
    if (bytes > bytesMax) break;
  }
  const text = Buffer.concat(chunks).subarray(0, bytesMax).toString('utf8');
  return { text, isCut: bytes > bytesMax };
}

function lines(names: readonly string[]): Buffer {
  return Buffer.from(names.map((name) => `${name}\n`).join(''));
}
