/** Public keys where a site keeps them: in keydir, a file a key, and in authorized_keys, behind options. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fingerprintOf } from '../identity/public-key.ts';
import { isAbsent } from './small-file.ts';

const DEPTH_MAX = 20;
const KEY =
  /(?:^|\s)((?:sk-)?(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d{3})(?:@openssh\.com)?)\s+([A-Za-z0-9+/]+={0,2})/;

/** `SHA256:...` of the first key in a text; undefined: there is none. */
export function fingerprintIn(text: string): string | undefined {
  const [, type = '', base64 = ''] = KEY.exec(text) ?? [];
  const blob = Buffer.from(base64, 'base64');
  // A key says its type again inside (RFC 4253, 6.6).
  if (blob.length < 4 || blob.subarray(4, 4 + blob.readUInt32BE(0)).toString('latin1') !== type) return undefined;
  return fingerprintOf(blob);
}

/** Files below keydir that end in `.pub`, by their paths in it, sorted. */
export async function keyFiles(keydir: string): Promise<readonly string[]> {
  const found: string[] = [];
  const waiting: { readonly folder: string; readonly depth: number }[] = [{ folder: '', depth: 0 }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { folder, depth } = next;
    for (const entry of await entriesOf(join(keydir, folder))) {
      const path = join(folder, entry.name);
      if (entry.isFile() && path.endsWith('.pub')) found.push(path);
      else if (entry.isDirectory() && depth < DEPTH_MAX) waiting.push({ folder: path, depth: depth + 1 });
    }
  }
  return found.sort();
}

async function entriesOf(path: string): Promise<Awaited<ReturnType<typeof readFolder>>> {
  try {
    return await readFolder(path);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

function readFolder(path: string) {
  return readdir(path, { withFileTypes: true });
}
