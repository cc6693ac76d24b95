/**
 * An upstream that misbehaves on request: OpenSSH behind a proxy that can be cut or slow, hooks that refuse, wait or die, and
 * a log of every change of its refs, written by git itself: what is not in it never was upstream.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { startSshUpstream } from '../support/upstream.ts';
import { expectRun, run, workspace, type Scope } from '../support/workspace.ts';

/** What its hooks do with a push. */
export const MOODS = ['ok', 'slow', 'refuse', 'refuse-all', 'die-before', 'die-after'] as const;
export type Mood = (typeof MOODS)[number];

export interface Transition {
  readonly refname: string;
  readonly old: string;
  readonly now: string;
}

export interface SoakUpstream {
  /** The bare repository. */
  readonly path: string;
  readonly hostKey: string;
  readonly privateKey: string;
  /** Through the proxy. */
  readonly url: string;
  /** For git's `core.hooksPath`: a pre-push hook that changes `$SOAK_DIVERGE` upstream, as somebody there would. */
  readonly clientHooks: string;
  readonly env: NodeJS.ProcessEnv;
  setMood(mood: Mood): void;
  /** Ends every connection, and takes no new one until `mend`. */
  cut(): void;
  mend(): void;
  /** Bytes wait this long on their way, either way. */
  delayMs: number;
  /** Every change so far, in git's own words. */
  log(): readonly Transition[];
  refs(): Promise<ReadonlyMap<string, string>>;
  /** Somebody changes a ref there, past the gate. */
  change(refname: string): Promise<void>;
  /** Resolves when a push is under way there, or at the abort. */
  busy(signal: AbortSignal): Promise<void>;
  /** Resolves when no push is under way there. */
  quiet(): Promise<void>;
}

export async function startSoakUpstream(scope: Scope): Promise<SoakUpstream> {
  const ssh = await startSshUpstream(scope);
  const path = await ssh.repositories.create('soak');
  const root = workspace(scope, 'gatehouse-soak-upstream-');
  const [moodFile, logFile, clientHooks] = [join(root, 'mood'), join(root, 'log'), join(root, 'hooks')];
  writeFileSync(moodFile, 'ok');
  writeFileSync(logFile, '');
  await ssh.repositories.commit('soak', 'refs/heads/main', { base: 'base\n' });
  mkdirSync(clientHooks);
  const direct = directChange(path);
  for (const [where, script] of [
    [join(path, 'hooks/pre-receive'), preReceive(moodFile)],
    [join(path, 'hooks/update'), `test "$(cat ${moodFile})" = refuse && case "$1" in *[13579]) exit 1;; esac; exit 0`],
    [join(path, 'hooks/reference-transaction'), transaction(moodFile, logFile)],
    [
      join(clientHooks, 'pre-push'),
      `cat >/dev/null; test -z "$SOAK_DIVERGE" || { ${direct} "$SOAK_DIVERGE"; }; exit 0`,
    ],
  ] as const) {
    writeFileSync(where, `#!/bin/sh\n${script}\n`);
    chmodSync(where, 0o755);
  }
  const proxy = await startProxy(scope, ssh.port);
  const { env } = ssh.repositories;
  return {
    path,
    hostKey: ssh.hostKey,
    privateKey: ssh.privateKey,
    url: `ssh://${ssh.user}@127.0.0.1:${proxy.port}${path}`,
    clientHooks,
    env,
    setMood: (mood) => {
      writeFileSync(moodFile, mood);
    },
    cut: proxy.cut,
    mend: proxy.mend,
    get delayMs() {
      return proxy.delayMs;
    },
    set delayMs(ms) {
      proxy.delayMs = ms;
    },
    log: () => readLog(logFile),
    refs: () => refsOf(path, env),
    change: async (refname) => {
      await run('sh', ['-c', `${direct} ${refname}`], { env });
    },
    busy: async (signal) => {
      while (!signal.aborted && !isBusy(path)) await new Promise((resolve) => setTimeout(resolve, 10)); // as in `quiet`
    },
    quiet: () => quiet(path),
  };
}

export async function refsOf(path: string, env: NodeJS.ProcessEnv): Promise<ReadonlyMap<string, string>> {
  const words = ['ls-remote', '--heads', '--tags', '--refs', path];
  const text = await expectRun('git', words, { env });
  return new Map(
    text
      .split('\n')
      .filter(Boolean)
      .map((line): [string, string] => [line.slice(41), line.slice(0, 40)]),
  );
}

/** A commit that nobody else makes, on a ref. `setsid`: the upstream's own, whoever dies. */
function directChange(path: string): string {
  const git = `git --git-dir=${path}`;
  const made = `$(env -u GIT_DIR ${git} commit-tree -m "direct $$ $(date +%s%N)" "main^{tree}")`;
  return `direct() { env -u GIT_DIR -u GIT_CONFIG_PARAMETERS SOAK_DIRECT=1 ${git} update-ref "$1" ${made}; }; direct`;
}

function preReceive(moodFile: string): string {
  return `cat >/dev/null
case "$(cat ${moodFile})" in
  slow) sleep 0.4;;
  refuse-all) echo "closed today"; exit 1;;
  die-before) kill -9 $PPID;;
esac
exit 0`;
}

/** Its lines are "OLD NEW REF"; what receive-pack does has its real old values. */
function transaction(moodFile: string, logFile: string): string {
  return `test "$1" = committed || exit 0
cat >>${logFile}
test -n "$SOAK_DIRECT" || test "$(cat ${moodFile})" != die-after || kill -9 $PPID
exit 0`;
}

function readLog(logFile: string): readonly Transition[] {
  const lines = readFileSync(logFile, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => {
    const [old = '', now = '', refname = ''] = line.split(' ');
    return { old, now, refname };
  });
}

/** Where a system does not show its processes: longer than any hook here takes. */
const QUIET_MS = 2_000;

/** receive-pack outlives a connection that was cut while a hook ran. */
async function quiet(path: string): Promise<void> {
  if (!existsSync('/proc/self')) await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  while (existsSync('/proc/self')) {
    if (!isBusy(path)) return;
    await new Promise((resolve) => setTimeout(resolve, 20)); // no event tells of a stranger's process
  }
}

function isBusy(path: string): boolean {
  return readdirSync('/proc').some((pid) => /^\d+$/.test(pid) && isReceiving(pid, path));
}

function isReceiving(pid: string, path: string): boolean {
  try {
    const words = readFileSync(join('/proc', pid, 'cmdline'), 'utf8');
    return words.includes('receive-pack') && words.includes(path) && existsSync(join('/proc', pid));
  } catch {
    return false;
  }
}

interface Proxy {
  readonly port: number;
  delayMs: number;
  cut(this: void): void;
  mend(this: void): void;
}

async function startProxy(scope: Scope, to: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((client) => {
    if (isCut) {
      client.destroy();
      return;
    }
    const upstream = connect({ host: '127.0.0.1', port: to });
    for (const [from, into] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        into.destroy();
      });
      from.on('data', (chunk) => {
        if (proxy.delayMs === 0) into.write(chunk);
        else setTimeout(() => into.write(chunk), proxy.delayMs);
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const end = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  scope.after(() => {
    end();
    server.close();
  });
  const proxy: Proxy = {
    port: (server.address() as AddressInfo).port,
    delayMs: 0,
    cut() {
      isCut = true;
      end();
    },
    mend() {
      isCut = false;
    },
  };
  return proxy;
}
