/**
 * A server-side fork: objects first shared as hard links, then packed anew from the copied refs alone. So the copy holds
 * what those refs reach and nothing else (not what the asker may not see, not what was once pushed away), it is
 * proved whole by having been packed, and it stays whole whatever happens to its source.
 */
import { once } from 'node:events';
import { constants, createWriteStream, type WriteStream } from 'node:fs';
import { copyFile, link, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';

import { BOUNDS } from '../base/bounds.ts';
import { Fault, ok, refuse, type Parsed } from '../base/fault.ts';
import { isWithoutLinks } from '../base/links.ts';
import { syncDirectory, syncFile } from '../base/durable.ts';
import { assertOwnEnd, runGitOk } from '../git/run.ts';
import { isInternalRefname, parseRefname } from '../git/refname.ts';
import type { GitSpec } from '../git/processes.ts';
import { makeBare, readHead } from './bare.ts';
import type { Ground } from './ground.ts';
import { linesOf } from './lines.ts';
import { entriesOf, isPresent } from './layout.ts';
import { commitNew, nameRefusal, nameTurn, parseNew } from './lifecycle.ts';
import type { RepositoryName } from './name.ts';
import type { Registered } from './record.ts';
import type { Repository } from './repository.ts';
import { marked } from './settle.ts';
import { headOf } from './settings.ts';
import { upkeepTurn } from './upkeep.ts';

export interface CopyOptions {
  readonly to: RepositoryName;
  readonly owner: string;
  /** Which refs the asker may read; the others are not copied, nor what only they reach. Default: all. */
  readonly mayRead?: ((refname: string) => boolean) | undefined;
  readonly signal?: AbortSignal;
}

const PASSES_MAX = 20;

/** Settings that say who may do what are not copied: a copy is its owner's alone until the owner opens it. */
export async function copy(ground: Ground, source: Repository, options: CopyOptions): Promise<Parsed<Registered>> {
  const parsed = parseNew(ground, {
    name: options.to,
    owner: options.owner,
    objectFormat: source.objectFormat,
    description: source.description,
  });
  if (parsed.kind === 'refused') return parsed;
  const fresh: Registered = { ...parsed.value, settings: { ...parsed.value.settings, 'copied-from': source.name } };
  const { id, name, owner, objectFormat } = fresh;
  const task = async (): Promise<Parsed<Registered>> => {
    const early = await nameRefusal(ground, name);
    if (early !== undefined) return early;
    return marked(ground, { id, why: 'copy' }, async () => {
      const path = ground.layout.home(id);
      const head = await headToCopy(source, options.mayRead);
      const settings = head === undefined ? fresh.settings : { ...fresh.settings, 'default-branch': head };
      const record = { ...fresh, settings };
      await ground.layout.prepareParent(path);
      await makeBare({ path, objectFormat, head: headOf(settings), identity: { id, name, owner } });
      const filled = await fill(ground, { source, path, options });
      return filled.kind === 'refused' ? filled : commitNew(ground, record);
    });
  };
  // No gc of the source meanwhile: what is linked stays what the refs reach.
  return ground.turns.run(upkeepTurn(source.id), () => ground.turns.run(nameTurn(name), task));
}

/** The branch that HEAD names; undefined where it is detached, not below refs/heads or not to be seen. */
async function headToCopy(source: Repository, mayRead: CopyOptions['mayRead']): Promise<string | undefined> {
  const head = await readHead(source.path);
  const isShown = head !== undefined && parseRefname(head) !== undefined && (mayRead === undefined || mayRead(head));
  return isShown && head.startsWith('refs/heads/') ? head.slice('refs/heads/'.length) : undefined;
}

interface Filling {
  readonly source: Repository;
  readonly path: string;
  readonly options: CopyOptions;
}

async function fill(ground: Ground, filling: Filling): Promise<Parsed<void>> {
  const { source, path, options } = filling;
  // Refs before objects: what they reach is there by then and stays.
  const refs = await copyRefs(ground, filling);
  if (refs === 0) return ok(undefined);
  if (await isPresent(join(source.path, 'objects', 'info', 'alternates'))) {
    return refuse(`${source.name} borrows objects from elsewhere: it cannot be copied`);
  }
  if (await isPresent(join(source.path, 'shallow'))) return refuse(`${source.name} is shallow: it cannot be copied`);
  await linkObjects(join(source.path, 'objects'), join(path, 'objects'));
  const spec = { gitDir: path, writable: [path], deadlineMs: BOUNDS.copyPackMs, ...signalOf(options) };
  await runGitOk(ground.processes, { ...spec, subcommand: 'repack', options: ['-adqn'] });
  await runGitOk(ground.processes, { ...spec, subcommand: 'prune', options: ['--expire=now'] });
  for (const file of await entriesOf(join(path, 'objects', 'pack')))
    await syncFile(join(path, 'objects', 'pack', file));
  for (const directory of ['objects/pack', 'objects/info', 'objects', '.']) await syncDirectory(join(path, directory));
  return ok(undefined);
}

/** Writes `packed-refs` (git-pack-refs(1)) line by line, however many there are. Resolves to how many. */
async function copyRefs(ground: Ground, filling: Filling): Promise<number> {
  const { source, path, options } = filling;
  const spec: GitSpec = {
    subcommand: 'for-each-ref',
    options: ['--format=%(objectname) %(refname)'],
    gitDir: source.path,
    deadlineMs: BOUNDS.copyRefsMs,
    ...signalOf(options),
  };
  const temporary = join(path, 'packed-refs.new');
  const output = createWriteStream(temporary, { flags: 'wx' });
  await using git = await ground.processes.start(spec);
  git.stdin.end();
  // for-each-ref sorts by refname. Without "peeled" git looks up what a tag points at when it needs it.
  await write(output, '# pack-refs with: sorted \n');
  let count = 0;
  for await (const line of linesOf(git.stdout)) {
    const [oid = '', refname = ''] = splitOnce(line);
    if (refname.includes('\ufffd')) {
      throw new Fault('bad-input', 'refname is not utf-8', {
        publicMessage: 'a ref of the repository has a name that is not UTF-8: it cannot be copied',
      });
    }
    const isCopied = parseRefname(refname) !== undefined && !isInternalRefname(refname);
    if (!isCopied || (options.mayRead !== undefined && !options.mayRead(refname))) continue;
    await write(output, `${oid} ${refname}\n`);
    count += 1;
  }
  output.end();
  await once(output, 'close');
  const exit = await git.exit;
  assertOwnEnd(exit, spec);
  if (exit.code !== 0) throw new Fault('process', 'git could not list refs', { context: { stderr: exit.stderr } });
  await syncFile(temporary);
  await rename(temporary, join(path, 'packed-refs'));
  await syncDirectory(path);
  return count;
}

async function write(output: WriteStream, text: string): Promise<void> {
  if (!output.write(text)) await once(output, 'drain');
}

function splitOnce(line: string): readonly string[] {
  const at = line.indexOf(' ');
  return [line.slice(0, at), line.slice(at + 1)];
}

function signalOf(options: CopyOptions): { readonly signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal };
}

/**
 * Loose objects before packs, and again until a pass finds nothing new and misses nothing: an object may move from a
 * loose file into a pack, or from one pack into another, while this looks; git makes the new place first.
 */
async function linkObjects(from: string, to: string): Promise<void> {
  const done = new Set<string>();
  for (let pass = 0; pass < PASSES_MAX; pass += 1) {
    const before = done.size;
    let isMissed = false;
    for (const name of await objectFiles(from)) {
      if (done.has(name)) continue;
      if (await linkFile(join(from, name), join(to, name))) done.add(name);
      else isMissed = true;
    }
    if (!isMissed && done.size === before) return;
  }
  throw new Fault('busy', 'objects keep moving while they are copied', {
    publicMessage: 'the repository is being reorganised: try again',
  });
}

/** Loose objects, then what belongs to packs; an index last, since git believes in a pack when it sees its index. */
async function objectFiles(objects: string): Promise<readonly string[]> {
  const files: string[] = [];
  for (const directory of await entriesOf(objects)) {
    if (!/^[0-9a-f]{2}$/.test(directory)) continue;
    for (const name of await entriesOf(join(objects, directory))) {
      if (/^[0-9a-f]{38}(?:[0-9a-f]{24})?$/.test(name)) files.push(join(directory, name));
    }
  }
  const packs = (await entriesOf(join(objects, 'pack'))).filter((name) =>
    /^pack-[0-9a-f]+\.(?:pack|rev|idx)$/.test(name),
  );
  const rank = (name: string): number => (name.endsWith('.idx') ? 1 : 0);
  for (const name of packs.toSorted((a, b) => rank(a) - rank(b))) files.push(join('pack', name));
  return files;
}

/** False: it is gone. */
async function linkFile(from: string, to: string): Promise<boolean> {
  try {
    await mkdir(join(to, '..'), { recursive: true });
    await link(from, to);
    return true;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') return false;
    if (code === 'EEXIST') return true;
    if (!isWithoutLinks(error)) throw error;
  }
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}
