/** A bundle of a repository that clients download over a bad line, with rsync: made once, kept while it is of use. */
import { rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { repositoryPath, statOf } from './disk.ts';
import { runProgram } from './programs.ts';
import type { Run } from './run.ts';
import { inTurn } from './turns.ts';
import { ends } from './words.ts';

/** The file's name, in the repository. @param ttlMs how old it may become. */
export async function bundleOf(run: Run, name: string, ttlMs: number): Promise<string> {
  const file = `${basename(name)}.bundle`;
  const folder = repositoryPath(run.rc, name);
  return inTurn(run, join(folder, file), async () => {
    if (!(await isOfUse(run, { folder, file, ttlMs }))) await make(run, folder, file);
    return file;
  });
}

interface Bundle {
  readonly folder: string;
  readonly file: string;
  readonly ttlMs: number;
}

/** Young enough, and every ref in it is still there and was not rewound: what was pushed since is fetched afterwards. */
async function isOfUse(run: Run, { folder, file, ttlMs }: Bundle): Promise<boolean> {
  const stat = statOf(join(folder, file));
  if (stat?.isFile() !== true || run.clock.now() - stat.mtimeMs > ttlMs) return false;
  const inBundle = await refs(run, folder, ['bundle', 'list-heads', file]);
  const inRepository = await refs(run, folder, ['for-each-ref', '--format=%(objectname) %(refname)']);
  for (const [ref, oid] of inBundle) {
    const now = inRepository.get(ref);
    if (now === undefined) return false;
    if (now === oid) continue;
    const args = ['merge-base', '--is-ancestor', '--end-of-options', oid, now];
    if ((await runProgram(run, { file: 'git', args, cwd: folder, stdout: 'collect' })).code !== 0) return false;
  }
  return true;
}

async function refs(run: Run, cwd: string, args: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const { stdout } = await runProgram(run, { file: 'git', args, cwd, stdout: 'collect' });
  const found = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const [oid = '', ref = ''] = line.split(' ');
    if (/^refs\/(?:heads|tags)\//.test(ref)) found.set(ref, oid);
  }
  return found;
}

/** Beside its place first: a client may be reading the old one, and a broken one is no use. */
async function make(run: Run, folder: string, file: string): Promise<void> {
  const temporary = `.${file}.${run.clock.randomBytes(6).toString('hex')}`;
  try {
    const args = ['bundle', 'create', temporary, '--branches', '--tags'];
    const { code } = await runProgram(run, { file: 'git', args, cwd: folder, stdout: 'stderr' });
    if (code !== 0) throw ends(code);
    await rename(join(folder, temporary), join(folder, file));
  } finally {
    await rm(join(folder, temporary), { force: true });
  }
}
