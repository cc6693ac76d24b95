/** Repositories in every shape that git stores objects in, and what git itself says of all of their objects. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BeyondReach, type Odb, type RawHeader, type RawObject } from '../../../src/git/odb/odb.ts';
import type { ObjectFormat, Oid } from '../../../src/git/oid.ts';
import { ENV, git, initBare } from '../ground.ts';

const run = promisify(execFile);

/** For what the helper `git` cannot do: other programs, redirections. */
export async function shell(cwd: string, script: string): Promise<void> {
  await run('sh', ['-euc', script], { cwd, env: ENV });
}

/** Text of `length` characters that compresses little, the same for the same seed. */
export function noise(length: number, seed: number): string {
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  let text = '';
  while (text.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += state.toString(36);
  }
  return text.slice(0, length);
}

/** Commits whose files change a little each time, a wide tree, an empty blob, a large blob, tags of tags. */
export async function makeRepository(path: string, format: ObjectFormat, seed = 1): Promise<string> {
  await initBare(path, format);
  const lines: string[] = [];
  const text = Array.from({ length: 60 }, (_, line) => noise(40, seed * 1_000 + line));
  for (let n = 1; n <= 40; n += 1) {
    text[(n * 7) % text.length] = noise(40, seed * 5_000 + n);
    lines.push('commit refs/heads/main', `committer C <c@example.org> ${1_700_000_000 + n} +0000`, 'data 2', `c\n`);
    lines.push('M 100644 inline growing', ...dataOf(text.join('\n')));
    lines.push(`M 100644 inline wide/${n}/file`, ...dataOf(n % 2 === 0 ? '' : noise(20, n)));
    if (n === 1) for (let i = 0; i < 600; i += 1) lines.push(`M 100644 inline wide/f${i}`, ...dataOf(`${i % 5}`));
    if (n === 20) lines.push('M 100644 inline large', ...dataOf(noise(300_000, seed)));
  }
  await git(path, ['fast-import', '--quiet', '--date-format=raw'], `${lines.join('\n')}\n`);
  await git(path, ['tag', '-a', '-m', 'one', 'one', 'main~3']);
  await git(path, ['tag', '-a', '-m', 'two', 'two', 'one']);
  return path;
}

function dataOf(text: string): readonly string[] {
  return [`data ${Buffer.byteLength(text)}`, text];
}

/** Everything that git finds, alternates included: straight from `cat-file --batch`. */
export async function objectsOf(gitDir: string): Promise<ReadonlyMap<Oid, RawObject>> {
  const output = await catFile(gitDir, ['--batch-all-objects', '--batch'], '');
  const objects = new Map<Oid, RawObject>();
  for (let at = 0; at < output.length;) {
    const end = output.indexOf(0x0a, at);
    const [oid = '', type = '', size] = output.toString('latin1', at, end).split(' ');
    at = end + 1 + Number(size);
    objects.set(oid as Oid, { type: type as RawObject['type'], bytes: output.subarray(end + 1, at) });
    at += 1;
  }
  return objects;
}

/** What git says of each: undefined where it is missing or broken. */
export async function headersOf(
  gitDir: string,
  oids: readonly Oid[],
): Promise<ReadonlyMap<Oid, RawHeader | undefined>> {
  const output = await catFile(gitDir, ['--batch-check', '--buffer'], oids.map((oid) => `${oid}\n`).join(''));
  const lines = output.toString('latin1').split('\n');
  return new Map(
    oids.map((oid, index) => {
      const [, type, size] = /^\w+ (\w+) (\d+)$/.exec(lines[index] ?? '') ?? [];
      return [oid, type === undefined ? undefined : { type: type as RawHeader['type'], size: Number(size) }];
    }),
  );
}

function catFile(gitDir: string, options: readonly string[], input: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settings = { cwd: gitDir, env: ENV, maxBuffer: 1024 * 1024 * 1024, encoding: 'buffer' } as const;
    const child = execFile('git', ['cat-file', ...options], settings, (error, stdout) => {
      // A broken object ends it with an error, behind what it has said.
      if (error !== null && stdout.length === 0 && input === '') reject(error);
      else resolve(stdout);
    });
    child.stdin?.on('error', () => {}).end(input);
  });
}

/** Each object, read and asked for, is what git says. */
export async function assertAllAsGit(odb: Odb, gitDir: string): Promise<number> {
  const objects = await objectsOf(gitDir);
  assert.ok(objects.size > 0);
  for (const [oid, { type, bytes }] of objects) {
    assert.deepEqual(await odb.header(oid), { type, size: bytes.length }, oid);
    const object = await odb.read(oid);
    assert.equal(object?.type, type, oid);
    assert.ok(object?.bytes.equals(bytes), oid);
  }
  return objects.size;
}

export const BEYOND = 'beyond reach';

/** What is asked, or that it is beyond reach. */
export async function reach<T>(asking: Promise<T>): Promise<T | typeof BEYOND> {
  try {
    return await asking;
  } catch (error) {
    if (error instanceof BeyondReach) return BEYOND;
    throw error;
  }
}
