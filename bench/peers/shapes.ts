/**
 * The repositories that are served, from a seed, so that two runs have the same bytes: small, medium, one with many refs,
 * a large one with and without a bitmap, and one of files that do not compress. Made once for a run, then copied by hard links.
 */
import { spawn } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, expectRun } from '../../test/support/workspace.ts';

export const SHAPES = ['small', 'medium', 'manyrefs', 'large', 'unmapped', 'stream'] as const;
export type ShapeName = (typeof SHAPES)[number];

export interface Shape {
  readonly commits: number;
  /** Files of the newest tree. */
  readonly files: number;
  /** Bytes of a version of a file, before it is compressed to about three quarters. */
  readonly fileBytes: number;
  readonly branches: number;
  readonly hasBitmap: boolean;
}

/** A full-size large one has 61,000 commits, about 290,000 objects, and a pack of about 150 MB. */
export function shapesOf(quick: boolean): Readonly<Record<Exclude<ShapeName, 'unmapped' | 'stream'>, Shape>> {
  return {
    small: { commits: 50, files: 20, fileBytes: 2_000, branches: 1, hasBitmap: false },
    medium: {
      commits: quick ? 500 : 5_000,
      files: quick ? 200 : 2_000,
      fileBytes: 7_500,
      branches: 5,
      hasBitmap: true,
    },
    manyrefs: { commits: 200, files: 20, fileBytes: 500, branches: 20_000, hasBitmap: false },
    large: {
      commits: quick ? 6_000 : 61_000,
      files: quick ? 1_600 : 16_000,
      fileBytes: 2_700,
      branches: 20,
      hasBitmap: true,
    },
  };
}

export interface ShapesOptions {
  /** Where they are kept; what is there already is taken as it is. */
  readonly folder: string;
  readonly quick: boolean;
  /** A real bare repository in place of the large one. */
  readonly large?: string;
  readonly names: ReadonlySet<ShapeName>;
  readonly streamMib: number;
}

/** Gives the path of each that was asked for. */
export async function makeShapes(options: ShapesOptions): Promise<ReadonlyMap<ShapeName, string>> {
  const { folder, quick, names } = options;
  mkdirSync(folder, { recursive: true });
  const shapes = shapesOf(quick);
  const made = new Map<ShapeName, string>();
  const once = async (name: ShapeName, make: (path: string) => Promise<unknown>): Promise<string> => {
    const path = join(folder, `${name}${quick ? '-quick' : ''}.git`);
    if (!existsSync(path)) {
      await make(`${path}.making`);
      renameSync(`${path}.making`, path);
    }
    made.set(name, path);
    return path;
  };
  for (const name of ['small', 'medium', 'manyrefs'] as const)
    if (names.has(name)) await once(name, (path) => generate(path, shapes[name]));
  if (names.has('large') || names.has('unmapped')) {
    const large = await once('large', (path) =>
      options.large === undefined ? generate(path, shapes.large) : adopt(options.large, path),
    );
    if (names.has('unmapped')) await once('unmapped', async (path) => withoutBitmap(large, path));
  }
  if (names.has('stream')) await once('stream', (path) => generateStream(path, options.streamMib));
  return made;
}

/** Fills an empty bare repository with what a template has, by hard links where the file system allows. */
export async function fill(template: string, target: string): Promise<void> {
  rmSync(join(target, 'objects'), { recursive: true, force: true });
  await expectRun('cp', ['-al', join(template, 'objects'), join(target, 'objects')]).catch(() => {
    cpSync(join(template, 'objects'), join(target, 'objects'), { recursive: true });
  });
  for (const name of ['packed-refs', 'HEAD']) cpSync(join(template, name), join(target, name));
}

function git(path: string, args: readonly string[]): Promise<string> {
  return expectRun('git', ['-C', path, ...args], { env: cleanEnvironment(path), deadlineMs: 1_200_000 });
}

async function adopt(from: string, path: string): Promise<void> {
  await expectRun('git', ['clone', '-q', '--mirror', '--no-local', from, path], {
    env: cleanEnvironment('/'),
    deadlineMs: 1_200_000,
  });
  await git(path, ['repack', '-q', '-a', '-d', '--write-bitmap-index']);
  await git(path, ['pack-refs', '--all']);
}

async function withoutBitmap(large: string, path: string): Promise<void> {
  cpSync(large, path, { recursive: true });
  const packs = join(path, 'objects/pack');
  for (const name of readdirSync(packs)) if (name.endsWith('.bitmap')) rmSync(join(packs, name));
}

async function generate(path: string, shape: Shape): Promise<void> {
  rmSync(path, { recursive: true, force: true });
  await expectRun('git', ['init', '-q', '--bare', '-b', 'main', path], { env: cleanEnvironment('/') });
  await fastImport(path, historyOf(shape));
  await git(path, ['repack', '-q', '-a', '-d', ...(shape.hasBitmap ? ['--write-bitmap-index'] : [])]);
  await git(path, ['pack-refs', '--all']);
}

async function generateStream(path: string, mib: number): Promise<void> {
  rmSync(path, { recursive: true, force: true });
  await expectRun('git', ['init', '-q', '--bare', '-b', 'main', path], { env: cleanEnvironment('/') });
  for (const [key, value] of [
    ['core.compression', '0'],
    ['pack.compression', '0'],
    ['core.bigFileThreshold', '1m'],
    // A pack, as the others are: of so few objects it would make loose ones, and every download would compress them anew.
    ['fastimport.unpackLimit', '1'],
  ] as const)
    await git(path, ['config', key, value]);
  await fastImport(path, filesOf(mib));
  await git(path, ['pack-refs', '--all']);
}

async function fastImport(path: string, stream: Iterable<string | Buffer>): Promise<void> {
  const child = spawn('git', ['-C', path, 'fast-import', '--quiet', '--done'], {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: cleanEnvironment(path),
  });
  const ended = once(child, 'exit');
  child.stdin.on('error', () => {}); // its exit code tells
  for (const piece of stream) if (!child.stdin.write(piece)) await once(child.stdin, 'drain');
  child.stdin.end('done\n');
  await ended;
  if (child.exitCode !== 0) throw new Error(`git fast-import ended with ${child.exitCode}`);
}

/** One version of one file in each commit: three of four lie two directories deep, so a commit brings four or five objects. */
function* historyOf({ commits, files, fileBytes, branches }: Shape): Generator<string> {
  const letters = keystream(commits);
  const perBranch = Math.max(1, Math.floor(commits / branches));
  for (let index = 0; index < commits; index += 1) {
    const number = index < files ? index : Number(`0x${letters(4).toString('hex')}`) % files;
    const text = `${letters(Math.floor(fileBytes * 0.74))
      .toString('base64')
      .replaceAll(/(.{76})/g, '$1\n')}\n`;
    const message = `Change file ${number}\n`;
    yield (
      `commit refs/heads/main\nmark :${index + 1}\n` +
      `committer A Committer <committer@example.org> ${1_600_000_000 + index * 60} +0000\n` +
      `data ${message.length}\n${message}M 100644 inline ${pathOf(number)}\ndata ${text.length}\n${text}\n`
    );
  }
  for (let branch = 1; branch < branches; branch += 1)
    yield `reset refs/heads/topic/${String(branch).padStart(5, '0')}\nfrom :${((branch * perBranch) % commits) + 1}\n\n`;
}

function pathOf(number: number): string {
  const folder = `folder-${number % 40}`;
  return number % 4 === 0
    ? `${folder}/file-${number}.txt`
    : `${folder}/part-${Math.floor(number / 40) % 40}/file-${number}.txt`;
}

/** Half of it in one file, the rest in sixteen. */
function* filesOf(mib: number): Generator<string | Buffer> {
  const letters = keystream(mib);
  const sizes = [mib / 2, ...Array.from({ length: 16 }, () => mib / 32)].map((size) => Math.max(1, Math.round(size)));
  yield 'commit refs/heads/main\ncommitter A Committer <committer@example.org> 1600000000 +0000\ndata 4\nMuch';
  yield '\n';
  for (const [index, size] of sizes.entries()) {
    yield `M 100644 inline part-${index}\ndata ${size * 1024 * 1024}\n`;
    for (let count = 0; count < size; count += 1) yield letters(1024 * 1024);
    yield '\n';
  }
}

/** Bytes without order, the same for the same seed. */
function keystream(seed: number): (bytes: number) => Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32BE(seed);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  return (bytes) => cipher.update(Buffer.alloc(bytes));
}
