/** `post-compile/ssh-authkeys-split`: files with a user's many keys become files of one key each, before authorized_keys is made. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { filesBelow } from '../conf-sources.ts';
import { statOf } from '../disk.ts';
import type { Run } from '../run.ts';
import { fingerprintOfKey } from '../site-keys.ts';
import type { BuiltInTrigger } from './trigger.ts';

const SPLIT = '__split_keys__';

export const SSH_AUTHKEYS_SPLIT: BuiltInTrigger = {
  name: 'post-compile/ssh-authkeys-split',
  async run(run) {
    const keydir = `${run.rc.adminBase}/keydir`;
    // Without one nobody comes by key: the next trigger leaves authorized_keys alone then.
    if (statOf(keydir) === undefined) return;
    rmSync(`${keydir}/${SPLIT}`, { recursive: true, force: true });
    mkdirSync(`${keydir}/${SPLIT}`, { recursive: true, mode: 0o777 & ~run.rc.umask });
    if (isPush(run)) takeAside(keydir);
    for (const file of plainFiles(keydir, '.multi')) {
      const user = basename(file, '.multi');
      const lines = linesOf(`${keydir}/${file}`);
      if (lines.length > 1 && !user.includes('@')) await split(run, { keydir, file, user, lines });
    }
  },
};

/** The files come fresh from the administrator's push: what was taken aside before is outdated. */
function isPush({ env }: Run): boolean {
  return env['GL_REPO'] === 'gitolite-admin' || env['GL_BYPASS_ACCESS_CHECKS'] === '1';
}

function takeAside(keydir: string): void {
  for (const file of plainFiles(keydir, '.multi')) rmSync(`${keydir}/${file}`, { force: true });
  for (const file of plainFiles(keydir, '.pub')) {
    if (linesOf(`${keydir}/${file}`).length > 1)
      renameSync(`${keydir}/${file}`, `${keydir}/${basename(file, '.pub')}.multi`);
  }
}

interface Split {
  readonly keydir: string;
  readonly file: string;
  readonly user: string;
  readonly lines: readonly string[];
}

async function split(run: Run, { keydir, file, user, lines }: Split): Promise<void> {
  for (const [index, line] of lines.entries()) {
    const text = line.trim();
    if (text === '') continue;
    if (fingerprintOfKey(text) === undefined) {
      await run.warn(`ssh-authkeys-split: bad line ${index + 1} in keydir/./${file}\n`);
      continue;
    }
    const path = `${keydir}/${SPLIT}/${user}@${index + 1}.pub`;
    writeFileSync(path, `${text}\n`, { mode: 0o666 & ~run.rc.umask });
  }
}

function plainFiles(keydir: string, ending: string): readonly string[] {
  return filesBelow(keydir, ending, { followsLinks: false });
}

function linesOf(path: string): readonly string[] {
  return readFileSync(path, 'utf8').replace(/\n$/, '').split('\n');
}
