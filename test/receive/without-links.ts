/** To be imported before everything else: a file system border at which hard links fail, while `links.code` says how. */
import fs from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

export const links: { code: string | undefined; refused: number } = { code: undefined, refused: 0 };

const { link } = fs;
const { link: linkLater } = promises;

function refusal(): Error | undefined {
  if (links.code === undefined) return undefined;
  links.refused += 1;
  return Object.assign(new Error(`${links.code}: no links here`), { code: links.code, syscall: 'link' });
}

Object.assign(fs, {
  link(from: string, to: string, done: (error: Error | null) => void) {
    const error = refusal();
    if (error === undefined) link(from, to, done);
    else done(error);
  },
});
Object.assign(promises, {
  async link(from: string, to: string) {
    const error = refusal();
    if (error !== undefined) throw error;
    await linkLater(from, to);
  },
});
syncBuiltinESMExports();
