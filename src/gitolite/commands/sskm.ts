/**
 * `sskm`: lets users add and remove keys of their own. A new key counts when it was used once to confirm it, a key is gone
 * when another was used to confirm that: nobody locks himself out.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parsePublicKey } from '../../identity/public-key.ts';
import { filesBelow } from '../conf-sources.ts';
import { inputLines, readInput } from '../input.ts';
import { changeKeys, type HushedGit } from '../key-change.ts';
import { assertAsker } from '../rights.ts';
import type { Run } from '../run.ts';
import { readSiteFile } from '../site-file.ts';
import { fingerprintOfKey } from '../site-keys.ts';
import { refuses, showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const KEY_BYTES_MAX = 4096;
const MARKED = /^zzz-marked-for-(add|del)-/;
const FOLDER = 'zzz-marked';

export const sskm: SiteCommand = {
  name: 'sskm',
  summary: 'look after your ssh keys',
  usage: `
Usage:  ssh git@host sskm [list]
        ssh git@host sskm add @ID < KEY.pub     # then, with that key: sskm confirm-add @ID
        ssh git@host sskm undo-add @ID
        ssh git@host sskm del @ID               # then, with another key: sskm confirm-del @ID
        ssh git@host sskm undo-del @ID          # with the key itself

An ID tells one of your keys from another; the key that is called after you alone has none.

`,
  async run(run, [operation = 'list', id = '']) {
    if (operation === '-h') return showUsage(run, sskm);
    if (id !== '' && !/^@[-0-9a-z_]+$/i.test(id)) throw dies(`invalid keyid ${id}\n`);
    const asker = assertAsker(run);
    const state = MARKED.exec(asker)?.[1];
    const user = asker.replace(MARKED, '');
    const how = state === undefined ? 'a normal ("active") key' : `a key in the 'marked for ${state}' state`;
    await run.warn(`hello ${user}, you are currently using ${how}\n`);
    const keys = await keysOf(run, user);
    if (operation === 'list') return list(run, keys);
    const allowed = OPERATIONS.get(state ?? 'active') ?? new Map<string, Operation>();
    const act = allowed.get(operation);
    if (act === undefined) throw dies(`valid operations: ${[...allowed.keys()].join(', ')}\n`);
    return act({ run, user, id, keys });
  },
};

/** Paths in keydir. */
interface Keys {
  readonly active: readonly string[];
  readonly adding: readonly string[];
  readonly leaving: readonly string[];
}

interface Call {
  readonly run: Run;
  readonly user: string;
  readonly id: string;
  readonly keys: Keys;
}

type Operation = (call: Call) => Promise<number>;

/** By the state of the key that the user came with. */
const OPERATIONS: ReadonlyMap<string, ReadonlyMap<string, Operation>> = new Map([
  [
    'active',
    new Map<string, Operation>([
      ['add', add],
      ['del', remove],
      ['undo-add', undoAdd],
      ['confirm-del', confirmRemove],
    ]),
  ],
  ['del', new Map<string, Operation>([['undo-del', undoRemove]])],
  ['add', new Map<string, Operation>([['confirm-add', confirmAdd]])],
]);

async function keysOf(run: Run, user: string): Promise<Keys> {
  const keys = { active: [] as string[], adding: [] as string[], leaving: [] as string[] };
  for (const path of filesBelow(keydirOf(run), '.pub', { followsLinks: false })) {
    const owner = basename(path).replace(/(?:@[^.]+)?\.pub$/, '');
    if (owner === user) keys.active.push(path);
    else if (owner === `zzz-marked-for-add-${user}`) keys.adding.push(path);
    else if (owner === `zzz-marked-for-del-${user}`) keys.leaving.push(path);
  }
  return keys;
}

async function list(run: Run, { active, adding, leaving }: Keys): Promise<number> {
  await run.print('you have the following keys:\n');
  await listSome(run, 'active keys', active);
  await listSome(run, 'keys marked for addition/replacement', adding);
  await listSome(run, 'keys marked for deletion', leaving);
  await run.print('\n\n');
  return 0;
}

async function listSome(run: Run, what: string, paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  await run.print(`== ${what} ==\n`);
  for (const [at, path] of paths.entries()) {
    const shown = path.replaceAll(/zzz-marked(?:\/|-for-(?:add|del)-)/g, '');
    await run.print(`${at + 1}: ${await fingerprintOfFile(join(keydirOf(run), path))} : ${shown}\n`);
  }
}

async function add({ run, user, id }: Call): Promise<number> {
  await run.warn('please supply the new key on STDIN.\n');
  const text = (await readInput(run, KEY_BYTES_MAX)).toString();
  if (text === '') throw dies('could not read pubkey data\n');
  if (/\n./.test(text)) throw dies('pubkey data seems to have more than one line\n');
  if (parsePublicKey(text).kind === 'refused') throw dies('does not seem to be a valid pubkey\n');
  await changeKeys(run, async (keydir, git) => {
    const path = marked('add', user, id);
    await mkdir(join(keydir, FOLDER), { recursive: true });
    await writeFile(join(keydir, path), text);
    if ((await git('add', '.')) !== 0) throw dies('git add failed\n');
    return `sskm: add ${user}${id} (${await fingerprintOfFile(join(keydir, path))})`;
  });
  return 0;
}

async function confirmAdd(call: Call): Promise<number> {
  const { run, user, id, keys } = call;
  const active = keys.active.filter((path) => basename(path) === `${user}${id}.pub`);
  const adding = keys.adding.filter((path) => path === marked('add', user, id));
  const found = await onlyOne(call, adding, active.length);
  if (found === undefined) return 1;
  const [replaced] = active;
  const subject = replaced === undefined ? `confirm-add ${user}${id}` : `confirm-add (replace) ${replaced}`;
  return move(run, { from: found, to: replaced ?? `${user}${id}.pub`, subject });
}

async function undoAdd(call: Call): Promise<number> {
  const { run, user, id, keys } = call;
  if (keys.adding.length === 0) throw dies('you dont have any keys marked for addition\n');
  const found = await onlyOne(
    call,
    keys.adding.filter((path) => path === marked('add', user, id)),
  );
  return found === undefined ? 1 : erase(run, found, `undo-add ${user}${id}`);
}

async function remove(call: Call): Promise<number> {
  const { run, user, id, keys } = call;
  const found = await onlyOne(
    call,
    keys.active.filter((path) => basename(path) === `${user}${id}.pub`),
  );
  if (found === undefined) return 1;
  return move(run, { from: found, to: marked('del', user, id), subject: `del ${found}` });
}

async function confirmRemove(call: Call): Promise<number> {
  const { run, user, id, keys } = call;
  if (keys.leaving.length === 0) throw dies('you dont have any keys marked for deletion\n');
  const found = await onlyOne(
    call,
    keys.leaving.filter((path) => path === marked('del', user, id)),
  );
  return found === undefined ? 1 : erase(run, found, `confirm-del ${user}${id}`);
}

async function undoRemove(call: Call): Promise<number> {
  const { run, user, id, keys } = call;
  const found = await onlyOne(
    call,
    keys.leaving.filter((path) => path === marked('del', user, id)),
  );
  if (found === undefined) return 1;
  await run.warn('\nThis key is marked for deletion.\n    ENTER takes that back\n    Ctrl-C leaves it so\n');
  await inputLines(run, KEY_BYTES_MAX).next();
  return move(run, { from: found, to: `${user}${id}.pub`, subject: `undo-del ${user}${id}` });
}

/** @throws `dies` where there is none; undefined where there are several, of which the user was told. */
async function onlyOne({ run, id }: Call, paths: readonly string[], others = 1): Promise<string | undefined> {
  if (paths.length > 1 || others > 1) {
    await run.warn(`\nmore than one key satisfies this condition, and I can't deal with that!\nThe keys are:\n\n`);
    await refuses(run, `\t${paths.join('\n\t')}\n`);
    return undefined;
  }
  const [path] = paths;
  if (path === undefined) throw dies(`no keys with ${id === '' ? 'empty' : id} keyid found\n`);
  return path;
}

async function move(
  run: Run,
  { from, to, subject }: { readonly from: string; readonly to: string; readonly subject: string },
): Promise<number> {
  await changeKeys(run, async (keydir, git) => {
    await mkdir(join(keydir, FOLDER), { recursive: true });
    const fingerprint = await fingerprintOfFile(join(keydir, from));
    await assertDone('mv', git('mv', '-f', from, to));
    return `sskm: ${subject} (${fingerprint})`;
  });
  return 0;
}

async function erase(run: Run, path: string, subject: string): Promise<number> {
  await changeKeys(run, async (keydir, git) => {
    const fingerprint = await fingerprintOfFile(join(keydir, path));
    await assertDone('rm', git('rm', path));
    return `sskm: ${subject} (${fingerprint})`;
  });
  return 0;
}

async function assertDone(what: string, code: ReturnType<HushedGit>): Promise<void> {
  if ((await code) !== 0) throw dies(`git ${what} failed\n`);
}

function marked(state: 'add' | 'del', user: string, id: string): string {
  return `${FOLDER}/zzz-marked-for-${state}-${user}${id}.pub`;
}

async function fingerprintOfFile(path: string): Promise<string> {
  const fingerprint = fingerprintOfKey((await readSiteFile(path))?.toString() ?? '');
  if (fingerprint === undefined) throw dies('does not seem to be a valid pubkey\n');
  return fingerprint;
}

function keydirOf(run: Run): string {
  return join(run.rc.adminBase, 'keydir');
}
