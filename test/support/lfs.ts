/** People and work trees with the real git-lfs. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gitOk, sshOk, type Person, type Site } from './gate.ts';
import { hasProgram } from './workspace.ts';

/** Why there is none; false: there is. */
export function noLfs(): string | false {
  return hasProgram('git-lfs') ? false : 'git-lfs is not installed';
}

/** The person with git-lfs set up, in a configuration of their own: never in one that the machine shares. */
export function withLfs(person: Person): Person {
  const config = join(person.home, 'gitconfig');
  const filter = ['clean = git-lfs clean -- %f', 'smudge = git-lfs smudge -- %f', 'process = git-lfs filter-process'];
  writeFileSync(config, ['[filter "lfs"]', 'required = true', ...filter, ''].join('\n'));
  return { ...person, env: { ...person.env, GIT_CONFIG_GLOBAL: config } };
}

export async function tokenOf(person: Person, site: Site, words: readonly string[]): Promise<string> {
  const made = await sshOk(person, site.gate, words);
  return /(?:ght|gpass)_[A-Za-z0-9]+/.exec(made)?.[0] ?? '';
}

/** A work tree at `path` whose `*.bin` are LFS files, with one commit on main. */
export async function lfsTree(
  person: Person,
  {
    path,
    remote,
    files,
  }: { readonly path: string; readonly remote: string; readonly files: Readonly<Record<string, Uint8Array>> },
): Promise<string> {
  mkdirSync(path);
  await gitOk(person, ['init', '-q', '-b', 'main', path]);
  await gitOk(person, ['lfs', 'track', '*.bin'], path);
  await gitOk(person, ['remote', 'add', 'origin', remote], path);
  await commitFiles(person, path, files);
  return path;
}

export async function commitFiles(
  person: Person,
  path: string,
  files: Readonly<Record<string, Uint8Array>>,
): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(path, name), bytes);
  await gitOk(person, ['add', '.'], path);
  await gitOk(person, ['commit', '-q', '-m', `Add ${Object.keys(files).join(', ')}`], path);
}

export function oidOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The text of a pointer (git-lfs docs/spec.md). */
export function pointerText(oid: string, size: number): string {
  return `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${size}\n`;
}
