/** ls-refs in protocol version 2, asked again and again on connections that stay open: what the server can do, without clients. */
import { connect, type Socket } from 'node:net';
import type { Peer, Served } from './peer.ts';
import { pkt } from './raw-fetch.ts';

const CONNECTIONS = 8;

export interface Asked {
  readonly answers: number;
  readonly ms: number;
}

export interface AskOptions {
  readonly repository: Served;
  readonly forMs: number;
  /** Each answer must have as many refs. */
  readonly refs: number;
}

/** @throws at the first answer that differs from what was expected. */
export async function askRefs(peer: Peer, options: AskOptions): Promise<Asked> {
  if (peer.reach.kind !== 'http') throw new Error(`${peer.name} does not keep connections open`);
  const url = new URL(`${peer.url(options.repository)}/git-upload-pack`);
  const body = `${pkt('command=ls-refs\n')}${pkt('agent=git/bench')}${pkt('object-format=sha1')}0001${pkt('peel\n')}${pkt('symrefs\n')}${pkt('ref-prefix refs/heads/\n')}0000`;
  const head = {
    host: url.host,
    ...peer.reach.headers,
    'git-protocol': 'version=2',
    'content-type': 'application/x-git-upload-pack-request',
    'content-length': String(body.length),
  };
  const lines = Object.entries(head).map(([key, value]) => `${key}: ${value}\r\n`);
  const message = `POST ${url.pathname} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
  const start = performance.now();
  const until = start + options.forMs;
  const each = Array.from({ length: CONNECTIONS }, () => askOn({ url, message, until, refs: options.refs }));
  const counts = await Promise.all(each);
  return { answers: counts.reduce((sum, count) => sum + count, 0), ms: performance.now() - start };
}

interface Line {
  readonly url: URL;
  readonly message: string;
  readonly until: number;
  readonly refs: number;
}

function askOn({ url, message, until, refs }: Line): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
    const reader = new AnswerReader();
    let count = 0;
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.on('connect', () => socket.write(message));
    socket.on('data', (chunk: Buffer) => {
      try {
        if (!reader.take(chunk)) return;
        // The first is read word for word, the others by their length: the client must not be the slower one.
        if (count === 0) reader.expectRefs(refs);
        reader.expectSame();
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      count += 1;
      if (performance.now() < until) next(socket, message);
      else {
        socket.destroy();
        resolve(count);
      }
    });
    socket.on('error', fail);
    socket.on('end', () => {
      fail(new Error('the server closed the connection'));
    });
  });
}

function next(socket: Socket, message: string): void {
  socket.write(message);
}

/** One HTTP answer after another, in either framing. */
class AnswerReader {
  #pieces: Buffer[] = [];
  #bytes = 0;
  #wanted: number | 'chunked' | undefined;
  #headEnd = 0;
  #answer = Buffer.alloc(0);
  #headBytes = 0;
  #bodyBytes: number | undefined;

  /** True: an answer is whole. */
  take(chunk: Buffer): boolean {
    this.#pieces.push(chunk);
    this.#bytes += chunk.length;
    if (this.#wanted === undefined) this.#readHead();
    if (this.#wanted === undefined) return false;
    const whole =
      this.#wanted === 'chunked' ? endsChunked(this.#pieces, this.#bytes) : this.#bytes >= this.#headEnd + this.#wanted;
    if (!whole) return false;
    this.#answer = Buffer.concat(this.#pieces);
    this.#headBytes = this.#headEnd;
    this.#pieces = [];
    this.#bytes = 0;
    this.#wanted = undefined;
    return true;
  }

  /** @throws where the answer is not one of so many refs. */
  expectRefs(refs: number): void {
    const head = this.#answer.toString('latin1', 0, this.#headBytes);
    const body = this.#answer.toString('latin1', this.#headBytes);
    const whole = /content-length/i.test(head) ? body : body.replaceAll(/(^|\r\n)[0-9a-f]+(\r\n)/gi, '');
    const found = whole.match(/ refs\/heads\//g)?.length ?? 0;
    if (found < refs || !/0000(\r\n)?$/.test(whole))
      throw new Error(`an answer with ${found} refs, not ${refs}: ${head}`);
  }

  expectSame(): void {
    const bytes = this.#answer.length - this.#headBytes;
    // Chunks may be cut in other places: a few bytes more or less.
    if (Math.abs(bytes - (this.#bodyBytes ?? bytes)) > 200)
      throw new Error(`an answer of ${bytes} bytes, not ${this.#bodyBytes}`);
    this.#bodyBytes ??= bytes;
  }

  #readHead(): void {
    const so = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces);
    const end = so?.indexOf('\r\n\r\n') ?? -1;
    if (so === undefined || end === -1) return;
    const head = so.toString('latin1', 0, end);
    if (!head.startsWith('HTTP/1.1 200')) throw new Error(head.split('\r\n')[0]);
    this.#headEnd = end + 4;
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
    this.#wanted = length === undefined ? 'chunked' : Number(length);
  }
}

function endsChunked(pieces: readonly Buffer[], bytes: number): boolean {
  const last = pieces.at(-1);
  if (last === undefined || bytes < 5) return false;
  const tail = last.length >= 7 ? last.subarray(-7) : Buffer.concat(pieces).subarray(-7);
  return tail.toString('latin1') === '\r\n0\r\n\r\n';
}
