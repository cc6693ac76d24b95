/**
 * Carrying a plan out, and back. What is replaced is kept first, under `before-gatehouse` beside the conf, so that a crash in
 * between, too, can be undone.
 */
import { mkdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { writeFileDurably } from '../../base/durable.ts';
import { Fault } from '../../base/fault.ts';
import { linkStatOf, statOf, targetOf } from '../disk.ts';
import { GATE_NAMES, SITE_HOOKS } from '../hooks.ts';
import { IN_FORCE_FILE } from '../in-force.ts';
import type { Rc } from '../rc.ts';
import type { Run } from '../run.ts';
import { dies } from '../words.ts';
import { pointKeysTo, readKeysFile } from './keys-file.ts';
import type { Plan } from './plan.ts';

const [, FOLDER] = GATE_NAMES;
const MANIFEST = 'manifest.json';

interface Kept {
  readonly path: string;
  /** What was there. */
  readonly kind: 'absent' | 'file' | 'link';
  /** `file`: its name beside the manifest, and its mode; `link`: where it led. */
  readonly saved?: string;
  readonly mode?: number;
  readonly target?: string;
}

export interface Manifest {
  readonly adoptedAt: string;
  /** The `gitolite-shell` that keys started. */
  readonly oldShell: string | undefined;
  readonly oldProgram: string | undefined;
  readonly kept: readonly Kept[];
}

/** Undefined: the site was not taken over, or it was undone. */
export function readManifest(rc: Rc): Manifest | undefined {
  const path = join(rc.adminBase, FOLDER, MANIFEST);
  if (statOf(path) === undefined) return undefined;
  try {
    return parseManifest(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw dies(`${path} is damaged: put back by hand what lies beside it`, cause);
  }
}

/** Does what the plan says. What an earlier adoption kept stays kept. */
export async function carryOut(run: Run, plan: Plan): Promise<void> {
  const { rc } = run;
  const known = readManifest(rc);
  await keep(run, plan, known);
  for (const { kind, path } of plan.changes) {
    switch (kind) {
      case 'keys':
        await rewriteKeys(rc.home, join(rc.binDirectory, 'gitolite-shell'));
        break;
      case 'file':
        mkdirSync(dirname(path), { recursive: true });
        await writeFileDurably(path, hookText(rc, path), { mode: 0o755 & ~rc.umask });
        break;
      case 'link':
        rmSync(path);
        symlinkSync(join(rc.binDirectory, basename(path)), path);
        break;
      case 'remove':
        rmSync(path, { force: true });
        break;
      default:
        return kind satisfies never;
    }
  }
}

function hookText({ adminBase }: Rc, path: string): string {
  const text = SITE_HOOKS.get(path.slice(join(adminBase, 'hooks').length + 1));
  if (text === undefined) throw new Fault('internal', 'plan names a file that is not ours', { context: { path } });
  return text;
}

async function keep(run: Run, plan: Plan, known: Manifest | undefined): Promise<void> {
  const { rc, clock } = run;
  const folder = join(rc.adminBase, FOLDER);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const kept = [...(known?.kept ?? [])];
  for (const { kind, path } of plan.changes) {
    if (kind === 'remove' || kept.some((one) => one.path === path)) continue;
    kept.push(await keepOne(folder, path, kept.length));
  }
  const oldShell = [...plan.keys.shells.keys()].find((shell) => shell !== join(rc.binDirectory, 'gitolite-shell'));
  const manifest: Manifest = {
    adoptedAt: known?.adoptedAt ?? new Date(clock.now()).toISOString(),
    oldShell: known?.oldShell ?? oldShell,
    oldProgram: known?.oldProgram ?? plan.old?.program,
    kept,
  };
  await writeFileDurably(join(folder, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`, { mode: 0o600 });
}

async function keepOne(folder: string, path: string, index: number): Promise<Kept> {
  const stat = linkStatOf(path);
  if (stat === undefined) return { path, kind: 'absent' };
  if (stat.isSymbolicLink()) return { path, kind: 'link', target: readlinkSync(path) };
  const saved = `${index}-${basename(path)}`;
  await writeFileDurably(join(folder, saved), readFileSync(path), { mode: 0o600 });
  return { path, kind: 'file', saved, mode: stat.mode & 0o7777 };
}

async function rewriteKeys(home: string, shell: string): Promise<void> {
  const path = join(home, '.ssh/authorized_keys');
  const text = pointKeysTo(readKeysFile(home), shell);
  await writeFileDurably(path, text, { mode: statSync(path).mode & 0o7777 });
}

/**
 * Puts everything back. Keys are not taken from the backup: people came and went since, so the lines as they are now get
 * the old shell again.
 */
export async function undoAdoption(run: Run, { kept, oldShell }: Manifest): Promise<readonly string[]> {
  const { rc } = run;
  const folder = join(rc.adminBase, FOLDER);
  const done: string[] = [];
  for (const one of kept) {
    if (basename(one.path) === 'authorized_keys') {
      if (oldShell === undefined) continue;
      await rewriteKeys(rc.home, oldShell);
      done.push(`${one.path}: generated lines start ${oldShell} again`);
      continue;
    }
    await putBack(folder, one);
    done.push(`${one.path}: as it was`);
  }
  rmSync(join(rc.adminBase, IN_FORCE_FILE), { force: true });
  rmSync(folder, { recursive: true });
  return done;
}

async function putBack(folder: string, { path, kind, saved, mode, target }: Kept): Promise<void> {
  if (kind === 'file' && saved !== undefined) {
    await writeFileDurably(path, readFileSync(join(folder, saved)), { mode: mode ?? 0o600 });
    return;
  }
  if (kind === 'link' && targetOf(path) === target) return;
  rmSync(path, { force: true });
  if (kind === 'link' && target !== undefined) symlinkSync(target, path);
}

/** @throws TypeError where it is not what `keep` writes. */
function parseManifest(value: unknown): Manifest {
  const manifest = tableOf(value);
  const list: unknown = manifest['kept'];
  if (!Array.isArray(list)) throw new TypeError('nothing kept');
  return {
    adoptedAt: textOf(manifest['adoptedAt']),
    oldShell: optionalText(manifest['oldShell']),
    oldProgram: optionalText(manifest['oldProgram']),
    kept: list.map(parseKept),
  };
}

function parseKept(value: unknown): Kept {
  const kept = tableOf(value);
  const kind = textOf(kept['kind']);
  if (kind !== 'absent' && kind !== 'file' && kind !== 'link') throw new TypeError('unknown kind');
  const saved = optionalText(kept['saved']);
  const target = optionalText(kept['target']);
  const mode = kept['mode'];
  return {
    path: textOf(kept['path']),
    kind,
    ...(saved === undefined ? {} : { saved: basename(saved) }),
    ...(typeof mode === 'number' ? { mode } : {}),
    ...(target === undefined ? {} : { target }),
  };
}

function tableOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError('no table');
  return Object.fromEntries(Object.entries(value));
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('no text');
  return value;
}

function optionalText(value: unknown): string | undefined {
  return value === undefined ? undefined : textOf(value);
}
