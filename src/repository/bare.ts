/**
 * The files of a bare repository, written by us: what `git init --bare` makes (gitrepository-layout(5)) without its
 * samples, some milliseconds faster than a process, and on disk when it returns.
 */
import { mkdir, readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { syncDirectory, syncFile, writeFileDurably } from '../base/durable.ts';
import type { ObjectFormat } from '../git/oid.ts';
import type { Refname } from '../git/refname.ts';

/** What each bare repository's configuration says of it, so that the catalogue can be rebuilt. */
export interface Identity {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
}

const DIRECTORIES = ['objects', 'objects/info', 'objects/pack', 'refs', 'refs/heads', 'refs/tags'] as const;

export interface NewBare {
  readonly path: string;
  readonly objectFormat: ObjectFormat;
  /** What HEAD points at; need not exist. */
  readonly head: Refname;
  readonly identity: Identity;
}

/** Makes it at `path`, which must not exist; its parent must. The parent is synced, too. */
export async function makeBare(fresh: NewBare): Promise<void> {
  const { path } = fresh;
  await mkdir(path);
  for (const directory of DIRECTORIES) await mkdir(join(path, directory));
  const files: readonly (readonly [string, string])[] = [
    ['HEAD', headText(fresh.head)],
    ['config', configText(fresh.objectFormat) + identityText(fresh.identity)],
  ];
  for (const [name, text] of files) await writeFile(join(path, name), text, { flag: 'wx' });
  await Promise.all(files.map(([name]) => syncFile(join(path, name))));
  await Promise.all(DIRECTORIES.map((directory) => syncDirectory(join(path, directory))));
  await syncDirectory(path);
  await syncDirectory(join(path, '..'));
}

/** Writes the identity into the configuration; every other line stays. */
export async function identify(path: string, identity: Identity): Promise<void> {
  const file = join(path, 'config');
  const text = await readFile(file, 'utf8');
  const wanted = withoutSection(text, 'gatehouse') + identityText(identity);
  if (wanted !== text) await writeFileDurably(file, wanted);
}

/** What a repository that is not of our making says: its id, where it got one, and how its objects are named. */
export interface Mark {
  readonly id: string | undefined;
  /** Undefined: a format that we do not know. */
  readonly objectFormat: ObjectFormat | undefined;
  /** What its configuration hides from clients, in its order. */
  readonly hidden: readonly HiddenRefs[];
}

/** One `transfer.hideRefs` (or of one direction alone) of git-config(1). */
export interface HiddenRefs {
  readonly section: 'transfer' | 'uploadpack' | 'receive';
  /** A prefix, with `!` or `^` in front of it as git has them. */
  readonly pattern: string;
}

/** @throws what reading throws: without a configuration it is no repository. */
export async function readMark(path: string): Promise<Mark> {
  const text = await readFile(join(path, 'config'), 'utf8');
  const id = valueOf(text, 'gatehouse', 'id');
  const format = valueOf(text, 'extensions', 'objectformat') ?? 'sha1';
  return {
    id: id !== undefined && /^[0-9a-f]{32}$/.test(id) ? id : undefined,
    objectFormat: format === 'sha1' || format === 'sha256' ? format : undefined,
    hidden: hiddenIn(text),
  };
}

function hiddenIn(text: string): readonly HiddenRefs[] {
  if (!/hiderefs/i.test(text)) return [];
  let section: string | undefined;
  return linesOf(text).flatMap((line) => {
    section = headerOf(line) ?? section;
    const pattern = /^\s*(?:\[[^\]]*\]\s*)?hiderefs\s*=\s*"?([^"\s]+)"?/i.exec(line)?.[1];
    const known = HIDING.find((name) => name === section);
    return pattern === undefined || known === undefined ? [] : [{ section: known, pattern }];
  });
}

const HIDING = ['transfer', 'uploadpack', 'receive'] as const;

/** Writes the id into the configuration of a repository that is not of our making; every other line stays. */
export async function writeMark(path: string, id: string): Promise<void> {
  const file = await realpath(join(path, 'config'));
  const { mode } = await stat(file);
  const text = withoutSection(await readFile(file, 'utf8'), 'gatehouse');
  await writeFileDurably(file, `${text}[gatehouse]\n\tid = ${id}\n`, { mode: mode & 0o777 });
}

/** What the configuration says, or undefined where it says nothing of us. */
export async function readIdentity(
  path: string,
): Promise<(Identity & { readonly objectFormat: ObjectFormat }) | undefined> {
  const text = await readFile(join(path, 'config'), 'utf8');
  const [id, name, owner] = [
    valueOf(text, 'gatehouse', 'id'),
    valueOf(text, 'gatehouse', 'name'),
    valueOf(text, 'gatehouse', 'owner'),
  ];
  if (id === undefined || name === undefined || owner === undefined) return undefined;
  const format = valueOf(text, 'extensions', 'objectformat') ?? 'sha1';
  return format === 'sha1' || format === 'sha256' ? { id, name, owner, objectFormat: format } : undefined;
}

/** Points HEAD at a branch, which need not exist. Readers see the old line or the new one. */
export async function pointHead(path: string, head: Refname): Promise<void> {
  await writeFileDurably(join(path, 'HEAD'), headText(head));
}

/** What HEAD points at; undefined where it is detached. */
export async function readHead(path: string): Promise<string | undefined> {
  return /^ref: (refs\/\S+)\n?$/.exec(await readFile(join(path, 'HEAD'), 'utf8'))?.[1];
}

function headText(head: Refname): string {
  return `ref: ${head}\n`;
}

/**
 * The gate passes what it relies on with each process. These lines are for whoever runs git here by hand: nothing
 * is tidied up behind the gate's back, nothing of a push is left out of the disk, no hook runs, and the
 * gate's own refs stay out of sight.
 */
function configText(format: ObjectFormat): string {
  const core = `[core]
	repositoryformatversion = ${format === 'sha1' ? 0 : 1}
	filemode = true
	bare = true
	fsync = all
	hooksPath = /dev/null
	protectHFS = true
	protectNTFS = true
	bigFileThreshold = 16m
`;
  // git-config(1), extensions.objectFormat: only looked at where the format version is 1.
  const extensions = format === 'sha1' ? '' : `[extensions]\n\tobjectformat = ${format}\n`;
  return `${core}${extensions}[transfer]
	fsckObjects = true
	hideRefs = refs/gatehouse
[receive]
	autogc = false
[gc]
	auto = 0
[maintenance]
	auto = false
`;
}

function identityText(identity: Identity): string {
  for (const value of [identity.id, identity.name, identity.owner]) {
    // Names are parsed long before; a quote or a newline here would be somebody else's configuration.
    if (!/^[A-Za-z0-9._+/-]+$/.test(value))
      throw new Fault('internal', 'identity is not plain text', { context: { value } });
  }
  return `[gatehouse]\n\tid = ${identity.id}\n\tname = ${identity.name}\n\towner = ${identity.owner}\n`;
}

/** The text without that section: its header and all up to the next header. */
function withoutSection(text: string, section: string): string {
  let inside = false;
  const kept = linesOf(text).filter((line) => {
    const header = headerOf(line);
    if (header !== undefined) inside = header === section;
    return !inside;
  });
  return kept.map((line) => `${line}\n`).join('');
}

function valueOf(text: string, section: string, key: string): string | undefined {
  let inside = false;
  let value: string | undefined;
  for (const line of linesOf(text)) {
    const header = headerOf(line);
    if (header !== undefined) inside = header === section;
    const pair = /^\s*([A-Za-z][A-Za-z0-9-]*)\s*=\s*(\S*)\s*$/.exec(line);
    if (inside && pair?.[1]?.toLowerCase() === key) value = pair[2];
  }
  return value;
}

function headerOf(line: string): string | undefined {
  return /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)?.[1]?.toLowerCase();
}

function linesOf(text: string): readonly string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}
