/**
 * One logged-in ssh connection to an upstream. The server has to show one of the pinned host keys, and nothing else is asked
 * whether it may go on; the gate shows its one key, no password, no agent.
 */
import type { Socket } from 'node:net';
import ssh2, { type Client, type ClientChannel, type ServerHostKeyAlgorithm } from 'ssh2';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { openSession, startCommand } from '../../base/ssh-internals.ts';
import { AGENT } from '../../base/version.ts';
import { fingerprintOf } from '../../identity/public-key.ts';
import type { Upstream, UpstreamCredential } from '../upstream.ts';
import type { WireLimits } from './limits.ts';
import { openSocket } from './socket.ts';
import { openCommand, type CommandChannel } from './ssh-channel.ts';
import type { Words } from './words.ts';

const KEEP_ALIVE_MS = 15_000;
const KEEP_ALIVE_MISSES_MAX = 2;
/** Answers of ours that the server does not read: it asks and asks. */
const BACKLOG_BYTES_MAX = 8 * 1024 * 1024;
/** By the type of a pinned key (RFC 8332 for RSA: never with SHA-1). */
const ALGORITHMS: Readonly<Record<string, readonly ServerHostKeyAlgorithm[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
};

export interface SshConnectionParts {
  readonly upstream: Upstream;
  readonly credential: () => Promise<UpstreamCredential | undefined>;
  readonly words: Words;
  readonly clock: Clock;
  readonly limits: WireLimits;
}

/** What the server showed and who we are: for words about a login that failed. */
interface Login {
  /** Of a host key that is not pinned. */
  shown: { readonly type: string; readonly fingerprint: string } | undefined;
  readonly ourFingerprint: string;
}

/** What a login brought up. */
interface LoggedIn {
  readonly client: Client;
  readonly socket: Socket;
  readonly gone: AbortController;
  readonly stderrBytesMax: number;
  readonly words: Words;
}

/** Connects and logs in, within `connectMs`. @throws Fault `upstream`, `timeout`, `usage` where the credential is no key. */
export async function openSshConnection(parts: SshConnectionParts): Promise<SshConnection> {
  const { upstream, words, clock, limits } = parts;
  if (upstream.hostKeys.length === 0) {
    throw words.fault(
      'no host key is pinned',
      `no host key is pinned for the upstream ${words.place}: pin the one that it publishes`,
    );
  }
  const overdue = new AbortController();
  const cancel = clock.after(limits.connectMs, () => {
    overdue.abort(
      new Fault('timeout', 'upstream did not answer', {
        context: { upstream: words.label },
        publicMessage: `cannot reach the upstream ${words.place}: no answer within ${Math.round(limits.connectMs / 1_000)} s`,
      }),
    );
  });
  try {
    const privateKey = await keyOf(parts);
    const ourFingerprint = publicFingerprint(privateKey, words);
    const socket = await openSocket(upstream.url, words, overdue.signal);
    return await login({ parts, socket, privateKey, ourFingerprint, signal: overdue.signal });
  } finally {
    cancel();
  }
}

export class SshConnection {
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #gone: AbortController;
  readonly #stderrBytesMax: number;
  readonly #words: Words;
  /** Open, with nothing running in it. */
  #spare: ClientChannel | undefined;

  constructor({ client, socket, gone, stderrBytesMax, words }: LoggedIn) {
    this.#client = client;
    this.#socket = socket;
    this.#gone = gone;
    this.#stderrBytesMax = stderrBytesMax;
    this.#words = words;
  }

  get isGone(): boolean {
    return this.#gone.signal.aborted || this.#socket.destroyed || !this.#socket.writable;
  }

  /** Aborted when the connection is gone. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * Starts `command` in the session that stands ready, or in a new one; whether the server runs it shows in what it answers.
   * @throws Error of ssh2 where the server opens no session; Fault where the connection breaks.
   */
  async exec(command: string, environment: Readonly<Record<string, string>>): Promise<CommandChannel> {
    const spare = this.#spare;
    this.#spare = undefined;
    const session = spare ?? (await this.#opened());
    const channel = openCommand({
      client: this.#client,
      socket: this.#socket,
      channel: session,
      gone: this.gone,
      stderrBytesMax: this.#stderrBytesMax,
    });
    const onRefused = (): void => {
      channel.cut(
        this.#words.fault('upstream runs no git', `the upstream ${this.#words.label} does not let git be run`),
      );
    };
    if (!startCommand(this.#client, session, { command, environment, onRefused })) {
      throw new Fault('internal', 'ssh2 has changed inside');
    }
    void this.#prepare();
    return channel;
  }

  /**
   * The next command finds a session open, which saves it a round trip. No command runs in it yet: a server may look at its
   * refs when upload-pack starts, so one that was started ahead could show what is not so any more.
   */
  async #prepare(): Promise<void> {
    if (this.#spare !== undefined || this.isGone) return;
    try {
      const channel = await this.#opened();
      channel.on('error', () => {});
      channel.once('close', () => {
        if (this.#spare === channel) this.#spare = undefined;
      });
      if (this.#spare === undefined) this.#spare = channel;
      else channel.close();
    } catch {
      // It takes no more of them for now: then the next command opens its own.
    }
  }

  #opened(): Promise<ClientChannel> {
    return new Promise((resolve, reject) => {
      const onGone = (): void => {
        reject(new Fault('aborted', 'ssh connection to upstream is gone'));
      };
      if (this.isGone) onGone();
      this.gone.addEventListener('abort', onGone, { once: true });
      const done = (error: Error | undefined, channel: ClientChannel): void => {
        this.gone.removeEventListener('abort', onGone);
        if (error) reject(error);
        else resolve(channel);
      };
      if (!this.isGone && !openSession(this.#client, done)) reject(new Fault('internal', 'ssh2 has changed inside'));
    });
  }

  /** Says goodbye; whatever runs is cut. */
  close(): void {
    this.#client.end();
    this.#socket.destroySoon();
    this.#gone.abort();
  }
}

async function keyOf({ credential, words }: SshConnectionParts): Promise<string> {
  const shown = await credential();
  words.hide(shown);
  if (shown?.kind === 'key') return shown.privateKey;
  const publicMessage = `the upstream ${words.label} is reached over ssh and needs a key as its credential`;
  throw new Fault('upstream', 'credential is no ssh key', { context: { upstream: words.label }, publicMessage });
}

interface LoginParts {
  readonly parts: SshConnectionParts;
  readonly socket: Socket;
  readonly privateKey: string;
  readonly ourFingerprint: string;
  readonly signal: AbortSignal;
}

function login({ parts, socket, privateKey, ourFingerprint, signal }: LoginParts): Promise<SshConnection> {
  const { upstream, words, limits } = parts;
  const about: Login = { shown: undefined, ourFingerprint };
  const pinned = new Set(upstream.hostKeys.map((key) => key.split(' ')[1] ?? ''));
  const gone = new AbortController();
  const client = new ssh2.Client();
  return new Promise((resolve, reject) => {
    const fail = (fault: unknown): void => {
      signal.removeEventListener('abort', onOverdue);
      gone.abort(fault);
      socket.destroy();
      reject(fault);
    };
    const onOverdue = (): void => {
      fail(signal.reason);
    };
    signal.addEventListener('abort', onOverdue, { once: true });
    client.on('error', (error) => {
      fail(loginFault({ error, about, words, upstream }));
    });
    client.on('close', () => {
      fail(words.unreachable('it closed the connection before the login was done'));
    });
    client.on('ready', () => {
      signal.removeEventListener('abort', onOverdue);
      resolve(new SshConnection({ client, socket, gone, stderrBytesMax: limits.stderrBytesMax, words }));
    });
    socket.on('data', () => {
      if (socket.writableLength > BACKLOG_BYTES_MAX) socket.destroy();
    });
    try {
      client.connect({
        sock: socket,
        username: upstream.url.user ?? 'git',
        privateKey,
        authHandler: ['publickey'],
        hostVerifier: (key: Buffer) => {
          const isPinned = pinned.has(key.toString('base64'));
          if (!isPinned) about.shown = { type: typeOf(key), fingerprint: fingerprintOf(key) };
          return isPinned;
        },
        algorithms: { serverHostKey: algorithmsFor(upstream.hostKeys), compress: ['none'] },
        keepaliveInterval: KEEP_ALIVE_MS,
        keepaliveCountMax: KEEP_ALIVE_MISSES_MAX,
        readyTimeout: 0,
        ident: AGENT.replaceAll(/[^\x21-\x7e]/g, ''),
      });
    } catch (error) {
      fail(
        words.fault(
          'cannot log in at upstream',
          `the gate's key for the upstream ${words.label} cannot be used`,
          error,
        ),
      );
    }
  });
}

/** Only these are offered, so that a server with several keys shows one of a pinned type. */
function algorithmsFor(hostKeys: readonly string[]): ServerHostKeyAlgorithm[] {
  const types = new Set(hostKeys.map((key) => key.split(' ')[0] ?? ''));
  return [...types].flatMap((type) => ALGORITHMS[type] ?? []);
}

function publicFingerprint(privateKey: string, words: Words): string {
  const parsed = ssh2.utils.parseKey(privateKey);
  const key: unknown = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key === undefined || parsed instanceof Error || Array.isArray(parsed)) {
    throw words.fault(
      'key for upstream cannot be read',
      `the gate's key for the upstream ${words.label} cannot be read`,
    );
  }
  return fingerprintOf(parsed.getPublicSSH());
}

function typeOf(blob: Buffer): string {
  const length = blob.length >= 4 ? blob.readUInt32BE(0) : 0;
  return length < 64 ? blob.toString('latin1', 4, 4 + length).replaceAll(/[^\x21-\x7e]/g, '?') : '?';
}

interface Failed {
  readonly error: Error;
  readonly about: Login;
  readonly words: Words;
  readonly upstream: Upstream;
}

/** ssh2's errors carry a level; the texts are its own and the server's. */
function loginFault({ error, about, words, upstream }: Failed): Fault {
  if (about.shown !== undefined) {
    const pinned = upstream.hostKeys.map(described).join(', ');
    return words.fault(
      'upstream shows another host key',
      `the host key of the upstream ${words.place} is not the pinned one: it shows ${about.shown.type} ${about.shown.fingerprint}, ` +
        `pinned is ${pinned}. Somebody may sit in between. If the upstream changed its key, compare with what it publishes and pin the new one`,
      error,
    );
  }
  if ('level' in error && error.level === 'client-authentication') {
    return words.fault(
      'upstream does not take the key',
      `the upstream ${words.label} does not take the gate's key ${about.ourFingerprint}: authentication failed`,
      error,
    );
  }
  if (/no matching host key/i.test(error.message)) {
    const types = upstream.hostKeys.map(described).join(', ');
    return words.fault(
      'upstream has no host key of the pinned type',
      `the upstream ${words.place} has no host key of the pinned type (pinned is ${types}): pin one that it has`,
      error,
    );
  }
  return words.unreachable(error.message, error);
}

/** `TYPE SHA256:...`. */
function described(hostKey: string): string {
  const [type = '', base64 = ''] = hostKey.split(' ');
  return `${type} ${fingerprintOf(Buffer.from(base64, 'base64'))}`;
}
