/**
 * The files that commits change, as `git diff-tree` tells them. What a merge does itself are files that differ from every
 * parent; one that differs from some came with the others' commits, and is asked about there, unless `merge-sides.ts` says
 * that it did not.
 */
import { BOUNDS } from '../../base/bounds.ts';
import { Fault } from '../../base/fault.ts';
import type { ObjectPlace } from '../../git/objects.ts';
import { isZeroOid, type Oid } from '../../git/oid.ts';
import { assertOwnEnd } from '../../git/run.ts';
import { writeAll } from '../../git/stream.ts';
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
  const { processes, ...where } = place;
  const spec = {
    subcommand: 'diff-tree',
    options: ['--stdin', '-r', '-m', '-z', '--raw', '--root', '--no-renames', '--no-abbrev', '--always'],
    ...where,
    deadlineMs,
  } as const;
  await using git = await processes.start(spec);
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
    const known = this.#files.get(path);
    if (known !== undefined) {
      known.differs += 1;
      return;
    }
    const old = isZeroOid(oldOid as Oid) ? undefined : (oldOid as Oid); // matched as digits by ENTRY, as is the next
    this.#files.set(path, { file: { path, mode, oid: oid as Oid, oldOid: old }, differs: 1 });
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
