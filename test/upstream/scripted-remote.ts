/** A remote whose upstream is a bare repository on this disk, and whose behaviour a test scripts: down, silent, refusing, cut off. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Fault } from '../../src/base/fault.ts';
import { isZeroOid, zeroOid, type Oid } from '../../src/git/oid.ts';
import type { PushAsked, Remote, RemotePush, RemoteRefs } from '../../src/upstream/wire/remote.ts';
import { GIT_ENV, gitOk } from '../receive/site.ts';

export interface Script {
  /** Nothing can be asked of it. */
  isDown?: boolean;
  canAtomic?: boolean;
  takesOptions?: boolean;
  /** By refname: the reason of its hook. */
  refuses?: ReadonlyMap<string, string>;
  /** Lines of its sideband. */
  says?: readonly string[];
  /**
   * `report`: as it should be; `silent-before`, `silent-after`: it has everything, the answer is lost, and it took nothing, or
   * all; `cut`: the connection breaks after the first bytes of the pack.
   */
  ends?: 'report' | 'silent-before' | 'silent-after' | 'cut';
  /** Leases are not looked at: what a forward with `+` would do. */
  ignoresLeases?: boolean;
  /** Called when the pack is there, before any ref moves. */
  onPack?: (asked: PushAsked) => void | Promise<void>;
  /** Called when its refs have moved, before it reports. */
  onTaken?: (asked: PushAsked) => void | Promise<void>;
  /** Called with each answer of `lsRefs` before it is given. */
  onListed?: () => void | Promise<void>;
}

export interface ScriptedRemote extends Remote {
  readonly script: Script;
  /** What was asked of `push`, and of `lsRefs` how often. */
  readonly pushes: PushAsked[];
  lists: number;
  /** Bytes of the last pack that came. */
  packBytes: number;
}

export function scriptedRemote(path: string, script: Script = {}): ScriptedRemote {
  const remote: ScriptedRemote = {
    script,
    pushes: [],
    lists: 0,
    packBytes: 0,
    async lsRefs() {
      assertUp(script);
      remote.lists += 1;
      const refs = await readRefs(path);
      await script.onListed?.();
      return refs;
    },
    async fetch({ wants, haves }) {
      assertUp(script);
      const here = new Set((await readRefs(path)).refs.values());
      const had = haves.filter((oid) => here.has(oid));
      const git = spawn('git', ['-C', path, 'pack-objects', '--revs', '--thin', '--stdout', '-q'], { env: GIT_ENV });
      git.stdin.end([...wants, ...had.map((oid) => `^${oid}`)].join('\n') + '\n');
      return git.stdout;
    },
    async push(asked) {
      assertUp(script);
      remote.pushes.push(asked);
      return push(path, remote, asked);
    },
    async [Symbol.asyncDispose]() {},
  };
  return remote;
}

function assertUp({ isDown }: Script): void {
  if (isDown === true) {
    throw new Fault('upstream', 'connection was refused', { publicMessage: 'the upstream refused the connection' });
  }
}

async function readRefs(path: string): Promise<RemoteRefs> {
  const lines = (await gitOk(path, 'for-each-ref', '--format=%(objectname) %(refname)')).split('\n').filter(Boolean);
  const refs = new Map(lines.map((line): [string, Oid] => [line.slice(41), line.slice(0, 40) as Oid]));
  return { refs, head: await gitOk(path, 'symbolic-ref', 'HEAD'), objectFormat: 'sha1' };
}

async function push(path: string, remote: ScriptedRemote, asked: PushAsked): Promise<RemotePush> {
  const { script } = remote;
  const { refs } = await readRefs(path);
  const none = zeroOid('sha1');
  for (const { refname, oldOid } of script.ignoresLeases === true ? [] : asked.updates) {
    if ((refs.get(refname) ?? none) !== oldOid) return { kind: 'refused', why: 'lease', refname, reason: 'it moved' };
  }
  if (asked.atomic && asked.updates.length > 1 && script.canAtomic === false) {
    return { kind: 'refused', why: 'ability', reason: 'the upstream cannot take several refs all or nothing' };
  }
  if (asked.options.length > 0 && script.takesOptions === false) {
    return { kind: 'refused', why: 'ability', reason: 'the upstream takes no push options' };
  }
  if (asked.updates.some(({ newOid }) => !isZeroOid(newOid))) {
    const chunks = await asked.pack([...refs.values()], { thin: true, ofsDelta: true });
    if (script.ends === 'cut') {
      for await (const _ of chunks) break;
      return { kind: 'unknown', reason: 'the connection broke' };
    }
    await take(path, remote, chunks);
  }
  await script.onPack?.(asked);
  if (script.ends === 'silent-before') return { kind: 'unknown', reason: 'the connection broke' };
  for (const text of script.says ?? []) asked.tell?.(text);
  const refused = asked.updates.filter(({ refname }) => script.refuses?.has(refname) === true);
  const isWhole = refused.length > 0 && asked.atomic;
  const taken = isWhole ? [] : asked.updates.filter((update) => !refused.includes(update));
  for (const { refname, oldOid, newOid } of taken) {
    const old = script.ignoresLeases === true ? [] : [oldOid];
    await gitOk(path, 'update-ref', ...(isZeroOid(newOid) ? ['-d', refname, ...old] : [refname, newOid, ...old]));
  }
  await script.onTaken?.(asked);
  if (script.ends === 'silent-after') return { kind: 'unknown', reason: 'the connection broke' };
  const fate = (refname: string): string | undefined =>
    script.refuses?.get(refname) ?? (isWhole ? 'atomic push failure' : undefined);
  return {
    kind: 'reported',
    unpack: 'ok',
    refs: new Map(asked.updates.map(({ refname }) => [refname, fate(refname)])),
  };
}

async function take(path: string, remote: ScriptedRemote, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const git = spawn('git', ['-C', path, 'index-pack', '--stdin', '--fix-thin'], {
    env: GIT_ENV,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = once(git, 'exit');
  remote.packBytes = 0;
  for await (const chunk of chunks) {
    remote.packBytes += chunk.length;
    git.stdin.write(chunk);
  }
  git.stdin.end();
  await ended;
}
