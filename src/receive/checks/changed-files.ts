/**
 * The files that commits change, as `git diff-tree` tells them. What a merge does itself are files that differ from every
 * parent; one that differs from some came with the others' commits, and is asked about there, unless `merge-sides.ts` says
 * that it did not.
 */
import { BOUNDS } from '../../base/bounds.ts';
import { Fault } from '../../base/fault.ts';
import { answered, specOf, type ObjectPlace } from '../../git/objects.ts';
import { sixDigits } from '../../git/odb/answers-objects.ts';
import { BeyondReach, type Odb } from '../../git/odb/odb.ts';
import { BoundedReader, textOf } from '../../git/odb/walk-objects.ts';
import { changesOf, type TreeChange } from '../../git/odb/walk-trees.ts';
import { isZeroOid, zeroOid, type Oid } from '../../git/oid.ts';
import { assertOwnEnd } from '../../git/run.ts';
import { writeAll } from '../../git/stream.ts';
import { MODES } from './path-rules.ts';
import { fieldsIn } from './raw-fields.ts';

export interface ChangedFile {
  readonly path: string;
  /** Octal digits; `000000` where the file is gone. */
  readonly mode: string;
  readonly oid: Oid;
  /** What it was before; of a merge, with its first parent. Undefined: there was none. */
  readonly oldOid: Oid | undefined;
}

export interface CommitChanges {
  readonly commit: Oid;
  readonly files: readonly ChangedFile[];
  /** Of a merge: files that differ from some parent and are as another has them. */
  readonly taken: readonly ChangedFile[];
  /** Anything differs from some parent. */
  readonly isAnyDifferent: boolean;
}

export interface ChangedFilesOptions {
  readonly place: ObjectPlace;
  /** Commit -> its parents. */
  readonly commits: ReadonlyMap<string, readonly string[]>;
  readonly deadlineMs: number;
}

/** @throws Fault `bad-input` with a public message where too many files change; `process`, `timeout`, `aborted`. */
export async function* changedFiles(options: ChangedFilesOptions): AsyncGenerator<CommitChanges> {
  const { place, commits, deadlineMs } = options;
  if (commits.size === 0) return;
  const own = await answered(place, (odb) => changesAnswer(odb, commits));
  if (own !== undefined) {
    yield* own;
    return;
  }
  const flags = ['--stdin', '-r', '-m', '-z', '--raw', '--root', '--no-renames', '--no-abbrev', '--always'];
  const spec = { ...specOf(place, { subcommand: 'diff-tree', options: flags }), deadlineMs };
  await using git = await place.processes.start(spec);
  git.stdin.on('error', () => {}); // its exit code says what happened
  const feeding = (async (): Promise<void> => {
    const oids = [...commits.keys()];
    for (let at = 0; at < oids.length; at += FED) {
      await writeAll(git.stdin, Buffer.from(`${oids.slice(at, at + FED).join('\n')}\n`), place.signal);
    }
    git.stdin.end();
  })();
  feeding.catch(() => {});
  yield* groupByCommit(fieldsIn(git.stdout), commits);
  const exit = await git.exit;
  assertOwnEnd(exit, spec);
  if (exit.code !== 0) throw new Fault('process', 'git failed', { context: { code: exit.code, stderr: exit.stderr } });
}

const FED = 1_000;
/** Without a process: commits, the objects that they and their parents have, and changes. */
const OWN_COMMITS_MAX = 64;
const OWN_OBJECTS_MAX = 2_000;
const OWN_CHANGES_MAX = 20_000;

/** The same, read by the gate itself. @throws BeyondReach */
async function changesAnswer(odb: Odb, commits: ChangedFilesOptions['commits']): Promise<readonly CommitChanges[]> {
  if (commits.size > OWN_COMMITS_MAX) throw new BeyondReach('more commits than are looked at');
  const reader = new BoundedReader(odb, OWN_OBJECTS_MAX);
  const all: CommitChanges[] = [];
  let seen = 0;
  for (const commit of commits.keys()) {
    const { tree, parents } = await reader.commit(commit as Oid); // listed by git, or read from a commit
    const own = new OwnChanges(commit as Oid, parents.length);
    for (const parent of parents.length === 0 ? [undefined] : parents) {
      const before = parent === undefined ? undefined : (await reader.commit(parent)).tree;
      for await (const change of changesOf(reader, before, tree)) {
        seen += 1;
        if (seen > OWN_CHANGES_MAX) throw new BeyondReach('more changes than are looked at');
        own.addChange(change);
      }
    }
    all.push(own.end());
  }
  return all;
}

/** Sections of one commit, one for each parent that it differs from, follow each other. */
async function* groupByCommit(
  fields: AsyncIterable<string>,
  commits: ChangedFilesOptions['commits'],
): AsyncGenerator<CommitChanges> {
  let own: OwnChanges | undefined;
  let entry: RegExpExecArray | undefined;
  let seen = 0;
  for await (const field of fields) {
    if (entry !== undefined) {
      seen += 1;
      if (seen > BOUNDS.checkPathsMax) throw tooMany();
      own?.add(field, entry);
      entry = undefined;
      continue;
    }
    if (field.startsWith(':')) {
      entry = ENTRY.exec(field) ?? undefined;
      if (entry === undefined || own === undefined) throw strange(field);
      continue;
    }
    if (!/^[0-9a-f]{40,64}$/.test(field)) throw strange(field);
    if (own?.commit === field) continue;
    if (own !== undefined) yield own.end();
    own = new OwnChanges(field as Oid, commits.get(field)?.length ?? 0); // git's own word for a commit
  }
  if (entry !== undefined) throw strange('a path is missing');
  if (own !== undefined) yield own.end();
}

const ENTRY = /^:(\d{6}) (\d{6}) ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) ([AMDT])$/;

class OwnChanges {
  readonly commit: Oid;
  readonly #parents: number;
  readonly #files = new Map<string, { file: ChangedFile; differs: number }>();

  constructor(commit: Oid, parents: number) {
    this.commit = commit;
    this.#parents = Math.max(parents, 1);
  }

  add(path: string, [, , mode = '', oldOid = '', oid = '']: RegExpExecArray): void {
    const old = isZeroOid(oldOid as Oid) ? undefined : (oldOid as Oid); // matched as digits by ENTRY, as is the next
    this.#addFile({ path, mode, oid: oid as Oid, oldOid: old });
  }

  addChange({ path, old, now }: TreeChange): void {
    const mode = now === undefined ? MODES.gone : sixDigits(now.mode);
    const oid = now?.oid ?? zeroOid(this.commit.length === 40 ? 'sha1' : 'sha256');
    this.#addFile({ path: textOf(path), mode, oid, oldOid: old?.oid });
  }

  #addFile(file: ChangedFile): void {
    const known = this.#files.get(file.path);
    if (known === undefined) this.#files.set(file.path, { file, differs: 1 });
    else known.differs += 1;
  }

  end(): CommitChanges {
    const all = [...this.#files.values()];
    const isOwn = ({ differs }: { readonly differs: number }): boolean => differs >= this.#parents;
    const files = all.filter(isOwn).map(({ file }) => file);
    const taken = all.filter((one) => !isOwn(one)).map(({ file }) => file);
    return { commit: this.commit, files, taken, isAnyDifferent: all.length > 0 };
  }
}

function strange(field: string): Fault {
  return new Fault('process', 'git answered strangely', { context: { field: field.slice(0, 200) } });
}

function tooMany(): Fault {
  const publicMessage = `the push changes files more than ${BOUNDS.checkPathsMax} times, too many for its checks: push it in parts`;
  return new Fault('bad-input', 'push changes too many files for its checks', { publicMessage });
}
