/** What a compile reads: the conf's files, groups from directories of keys, and the settings that decisions depend on. */
import { isUtf8 } from 'node:buffer';
import { readdirSync, readFileSync, type Dirent } from 'node:fs';
import { join } from 'node:path';
import { SUGARS, type ConfSettings } from '../access/gitolite/conf-settings.ts';
import { BOUNDS } from '../base/bounds.ts';
import { statOf } from './disk.ts';
import type { Rc } from './rc.ts';
import { dies } from './words.ts';

const FILES_MAX = 200_000;
const DEPTH_MAX = 40;

export interface SiteSources {
  /** Path, relative to `conf/` -> text. */
  readonly files: ReadonlyMap<string, string>;
  /** See `ConfSources`. */
  readonly others?: ReadonlySet<string>;
  readonly settings: ConfSettings;
}

/** @throws `dies` where there is no conf, or more of it than a site may have. */
export function readSources(rc: Rc): SiteSources {
  const folder = `${rc.adminBase}/conf`;
  const files = new Map<string, string>();
  let bytes = 0;
  const others = new Set<string>();
  for (const path of filesBelow(folder, '')) {
    if (!path.endsWith('.conf')) {
      others.add(path);
      continue;
    }
    bytes += statOf(join(folder, path))?.size ?? 0;
    if (bytes > BOUNDS.policyBytesMax) throw dies(`a conf has at most ${BOUNDS.policyBytesMax} bytes`);
    files.set(path, confText(readFileSync(join(folder, path))));
  }
  if (!files.has('gitolite.conf')) throw dies('open gitolite.conf failed: No such file or directory\n');
  return { files, others, settings: settingsOf(rc) };
}

/** UTF-8. A line that is none is Latin-1, as descriptions in old confs are; what is written of it is UTF-8. */
export function confText(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const lines = bytes.toString('latin1').split(/(?<=\n)/);
  return lines
    .map((line) => {
      const raw = Buffer.from(line, 'latin1');
      return isUtf8(raw) ? raw.toString('utf8') : line;
    })
    .join('');
}

export function settingsOf(rc: Rc): ConfSettings {
  const sugar = SUGARS.filter((name) => rc.sugar.includes(name));
  return {
    ...(rc.hostname === undefined ? {} : { hostname: rc.hostname }),
    configKeys: rc.configKeys,
    safeConfig: rc.safeConfig,
    ...(rc.unsafeValue === undefined ? {} : { unsafeValue: rc.unsafeValue }),
    roles: rc.roles,
    sugar,
    keyGroups: sugar.includes('keysubdirs-as-groups') ? keyGroupsOf(rc) : new Map(),
    hasOuterGroups: rc.groupListProgram !== undefined,
  };
}

/** The folder in which a key lies is a group of its users; keys that lie in `keydir` itself are in none. */
function keyGroupsOf(rc: Rc): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const path of filesBelow(`${rc.adminBase}/keydir`, '.pub')) {
    const [, group, user] = /([^/]+)\/([^/]+?)(?:@[^./]+)?\.pub$/.exec(path) ?? [];
    if (group === undefined || user === undefined || group === 'keydir') continue;
    const users = groups.get(group) ?? [];
    groups.set(group, users);
    users.push(user);
  }
  return groups;
}

/** Relative paths, sorted. */
export function filesBelow(
  top: string,
  ending: string,
  { followsLinks = true }: { readonly followsLinks?: boolean } = {},
): readonly string[] {
  const found: string[] = [];
  const walk = (folder: string, depth: number): void => {
    for (const entry of entriesOf(join(top, folder))) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      const stat = followsLinks && entry.isSymbolicLink() ? statOf(join(top, path)) : entry;
      if (stat?.isDirectory() === true && depth < DEPTH_MAX) walk(path, depth + 1);
      else if (stat?.isFile() === true && path.endsWith(ending)) found.push(path);
      if (found.length > FILES_MAX) throw dies(`more than ${FILES_MAX} files in '${top}'`);
    }
  };
  walk('', 0);
  return found.sort();
}

function entriesOf(path: string): readonly Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
}

/** The conf's files one after another, also those that no line includes, as far as one of them has template data. */
export function readTemplateFiles(rc: Rc): string {
  const folder = `${rc.adminBase}/conf`;
  const texts = filesBelow(folder, '.conf').map((path) => confText(readFileSync(join(folder, path))));
  return texts.some((text) => text.includes('=begin template-data')) ? texts.join('\n') : '';
}
