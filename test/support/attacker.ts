/** Clients that say whatever a test wants, byte by byte, over any of the three doors. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { encodePkt } from '../../src/git/pkt-line.ts';
import { splitAddress, type Gate, type Person } from './gate.ts';

export type Bytes = string | Uint8Array;

/** What came back until the other side was done. */
export interface Heard {
  /** Everything, as latin1: pkt-lines stand in it as they came. */
  readonly text: string;
  /** SSH: standard error. */
  readonly stderr: string;
  /** SSH: the exit code; HTTP: the status; undefined where there is none. */
  readonly code: number | undefined;
}

/** A TCP connection to a door, from another address of this machine where one is named; errors are the attacker's own affair. */
export function dial(address: string, localAddress = '127.0.0.1'): Socket {
  const { host, port } = splitAddress(address);
  const socket = connect({ host, port: Number(port), localAddress, noDelay: true, allowHalfOpen: true });
  socket.on('error', () => {});
  return socket;
}

/** Resolves with all that the stream gave when it has ended or closed, however it did. */
export function hear(stream: Duplex): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const done = (): void => {
      resolve(Buffer.concat(chunks).toString('latin1'));
    };
    stream.once('end', done);
    stream.once('close', done);
  });
}

/** Writes the words and, unless told otherwise, closes the sending side; resolves with the answer. */
export async function shout(address: string, words: readonly Bytes[], options: { readonly close?: boolean } = {}) {
  const socket = dial(address);
  await once(socket, 'connect');
  const heard = hear(socket);
  for (const word of words) socket.write(word);
  if (options.close !== false) socket.end();
  const text = await heard;
  socket.destroy();
  return text;
}

/** The first pkt-line of git://. */
export function daemonRequest(service: string, path: string, version: 0 | 1 | 2 = 0): Buffer {
  const extra = version === 0 ? '' : `\0version=${version}\0`;
  return encodePkt(`git-${service} ${path}\0host=x\0${extra}`);
}

/** A logged-in SSH connection. Ended with the scope. */
export async function login(
  gate: Gate,
  person: Person,
  change: Partial<Parameters<Client['connect']>[0]> = {},
): Promise<Client> {
  const client = new ssh2.Client();
  const ready = once(client, 'ready');
  client.connect({ sock: dial(gate.ssh), username: 'git', privateKey: readFileSync(person.keyFile), ...change });
  await ready;
  client.on('error', () => {});
  return client;
}

/** A command line on a channel of its own. What it says waits until somebody listens. */
export async function channel(client: Client, line: string, version: 0 | 1 | 2 = 0): Promise<ClientChannel> {
  return (await opened(client, line, version)).stream;
}

interface Opened {
  readonly stream: ClientChannel;
  /** Undefined where the channel closes without one. */
  readonly exit: Promise<number | undefined>;
}

function opened(client: Client, line: string, version: 0 | 1 | 2): Promise<Opened> {
  const env = version === 0 ? {} : { env: { GIT_PROTOCOL: `version=${version}` } };
  return new Promise((resolve, reject) => {
    client.exec(line, env, (error, stream) => {
      if (error) {
        reject(error);
        return;
      }
      // Here, not a turn later: the exit code of a short command comes in the same packet.
      const exit = new Promise<number | undefined>((done) => {
        stream.once('exit', (code: number | null) => {
          done(code ?? undefined);
        });
        stream.once('close', () => {
          done(undefined);
        });
      });
      stream.on('error', () => {});
      resolve({ stream, exit });
    });
  });
}

/** Runs a command line over an open connection, says the words, and hears the answer out. */
export async function say(
  client: Client,
  line: string,
  words: readonly Bytes[] = [],
  options: { readonly version?: 0 | 1 | 2; readonly close?: boolean } = {},
): Promise<Heard> {
  const { stream, exit } = await opened(client, line, options.version ?? 0);
  const stderr: Buffer[] = [];
  stream.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const heard = hear(stream);
  for (const word of words) stream.write(word);
  if (options.close !== false) stream.end();
  const [text, code] = await Promise.all([heard, exit]);
  return { text, stderr: Buffer.concat(stderr).toString(), code };
}

export interface Asked {
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: readonly Bytes[];
}

export interface Answered extends Heard {
  readonly headers: IncomingHttpHeaders;
}

/** One HTTP exchange. A connection that breaks after the head gives what came until then. */
export function ask(gate: Gate, asked: Asked): Promise<Answered> {
  const { host, port } = splitAddress(gate.http);
  const { method = asked.body === undefined ? 'GET' : 'POST', path, token, body } = asked;
  const headers = { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...asked.headers };
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host, port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', () => {});
      response.on('close', () => {
        const text = Buffer.concat(chunks).toString('latin1');
        resolve({ text, stderr: '', code: response.statusCode, headers: response.headers });
      });
    });
    request.on('error', reject);
    for (const piece of body ?? []) request.write(piece);
    request.end();
  });
}

/** POST to a Git service of a repository, in protocol `version`. */
export function rpc(
  gate: Gate,
  options: {
    readonly name: string;
    readonly service: 'upload-pack' | 'receive-pack' | 'upload-archive';
    readonly words: readonly Bytes[];
    readonly token?: string | undefined;
    readonly version?: 0 | 1 | 2;
    readonly headers?: Readonly<Record<string, string>>;
  },
): Promise<Answered> {
  const { name, service, words, token, version = 0, headers } = options;
  return ask(gate, {
    path: `/${name}/git-${service}`,
    token,
    body: words,
    headers: {
      'content-type': `application/x-git-${service}-request`,
      ...(version === 0 ? {} : { 'git-protocol': `version=${version}` }),
      ...headers,
    },
  });
}
