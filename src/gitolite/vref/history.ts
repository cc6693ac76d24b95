/** What a push brings, asked of git: commits that no ref had, and the names of files in them or between two trees. */
import { Fault } from '../../base/fault.ts';
import { factsOf, readObject, specOf as objectSpecOf, type ObjectPlace } from '../../git/objects.ts';
import { isZeroOid, type ObjectFormat, type Oid } from '../../git/oid.ts';
import type { GitProcess, GitSpec } from '../../git/processes.ts';
import { assertOwnEnd, runGitOk } from '../../git/run.ts';
import { writeAll } from '../../git/stream.ts';
import type { VrefQuestion } from './vref.ts';

const DEADLINE_MS = 10 * 60_000;
/** Distinct names held at once. */
const NAMES_MAX = 2_000_000;
const MESSAGE_BYTES_MAX = 1024 * 1024;
const EMPTY_TREES: Readonly<Record<ObjectFormat, string>> = {
  sha1: '4b825dc642cb6eb9a060e54bf8d69288fbee4904',
  sha256: '6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321',
};

/** Stands for the side of an update that has no commit. Git knows it without having it. */
export function emptyTree(format: ObjectFormat): Oid {
  return EMPTY_TREES[format] as Oid;
}

type NewCommits = Pick<VrefQuestion, 'place' | 'earlier'> & { readonly tip: Oid };

/** Commits behind `tip` that no ref has, newest first. */
export async function newCommits(
  { place, earlier, tip }: NewCommits,
  { merges = true }: { readonly merges?: boolean } = {},
): Promise<readonly Oid[]> {
  if (isZeroOid(tip)) return [];
  const options = [...(merges ? [] : ['--no-merges']), '--not', '--all', '--not'];
  const operands = [tip, ...earlier.map((oid) => `^${oid}`)];
  const output = await runGitOk(place.processes, specOf(place, { subcommand: 'rev-list', options, operands }));
  return output.toString('latin1').split('\n').slice(0, -1) as Oid[];
}

export interface NamesOptions {
  readonly isAddedOnly?: boolean;
  /** A file that was renamed counts as one that went and one that came. */
  readonly hasOldNames?: boolean;
}

/** Distinct names that those commits change; with `isAddedOnly` those that they add. Merges change nothing. */
export async function newNames(
  about: NewCommits,
  { isAddedOnly = false, hasOldNames = false }: NamesOptions = {},
): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  const commits = await newCommits(about, { merges: false });
  if (commits.length === 0) return names;
  const filter = isAddedOnly ? ['--diff-filter=A'] : [];
  const renames = hasOldNames ? '--no-renames' : '--find-renames';
  const options = ['--stdin', '-r', '--root', '--no-commit-id', '--name-only', '-z', renames, ...filter];
  const spec = specOf(about.place, { subcommand: 'diff-tree', options });
  await using git = await about.place.processes.start(spec);
  const fed = feed(git, commits);
  for await (const name of fieldsIn(git.stdout)) {
    names.add(name);
    if (names.size > NAMES_MAX) throw tooMany(names.size);
  }
  await fed;
  const exit = await git.exit;
  assertOwnEnd(exit, spec);
  if (exit.code !== 0) throw new Fault('process', 'git failed', { context: { code: exit.code, stderr: exit.stderr } });
  return names;
}

/**
 * Names in which two trees differ; of a renamed file both. Git's default shows the new one only, and who may change some
 * files could then take away others.
 */
export async function namesBetween(place: ObjectPlace, from: Oid, to: Oid): Promise<readonly string[]> {
  const options = ['-r', '--name-only', '-z', '--no-renames', '--no-commit-id'];
  const spec = specOf(place, { subcommand: 'diff-tree', options, operands: [from, to] });
  const output = await runGitOk(place.processes, spec);
  return output.toString('utf8').split('\0').slice(0, -1);
}

export interface CommitText {
  /** The whole object as git prints it. */
  readonly text: string;
  readonly authorEmail: string;
  readonly subject: string;
}

/** A commit, or what a tag of one says with the commit's author. Undefined where it leads to no commit. */
export async function commitText(place: ObjectPlace, oid: Oid): Promise<CommitText | undefined> {
  const [own, commit] = await factsOf(place, [oid, `${oid}^{commit}`]);
  if (own === undefined || commit === undefined) return undefined;
  const read = async (name: Oid, type: typeof own.type): Promise<string> =>
    (await readObject(place, { name, type, bytesMax: MESSAGE_BYTES_MAX }))?.toString('utf8') ?? '';
  const text = await read(oid, own.type);
  const inner = commit.oid === own.oid ? text : await read(commit.oid, 'commit');
  const [headers = '', ...message] = inner.split('\n\n');
  const authorEmail = /^author [^\n]*<([^>\n]*)>/m.exec(headers)?.[1] ?? '';
  const [subject = ''] = message.join('\n\n').replace(/^\n+/, '').split('\n\n');
  return { text, authorEmail, subject: subject.trimEnd().replaceAll('\n', ' ') };
}

/** As for other looks at objects, but with time for a push of any size. */
export function specOf(place: ObjectPlace, spec: Pick<GitSpec, 'subcommand' | 'options' | 'operands'>): GitSpec {
  return { ...objectSpecOf(place, spec), deadlineMs: DEADLINE_MS };
}

async function feed({ stdin }: GitProcess, oids: readonly Oid[]): Promise<void> {
  stdin.on('error', () => {}); // its exit code says what happened
  try {
    await writeAll(stdin, Buffer.from(oids.map((oid) => `${oid}\n`).join('')));
    stdin.end();
  } catch {
    // It ended first.
  }
}

/** Fields that end in NUL, without holding them all. */
async function* fieldsIn(output: AsyncIterable<unknown>): AsyncGenerator<string> {
  let held = Buffer.alloc(0);
  for await (const chunk of output) {
    if (!Buffer.isBuffer(chunk)) throw new Fault('internal', 'output is not bytes');
    const bytes = Buffer.concat([held, chunk]);
    const end = bytes.lastIndexOf(0) + 1;
    if (end > 0) yield* bytes.toString('utf8', 0, end - 1).split('\0');
    held = bytes.subarray(end);
    if (held.length > MESSAGE_BYTES_MAX) throw new Fault('process', 'git wrote a name that is too long');
  }
}

function tooMany(names: number): Fault {
  const publicMessage = `the push changes more than ${NAMES_MAX} files: push it in parts`;
  return new Fault('bad-input', 'push changes too many files', { context: { names }, publicMessage });
}
