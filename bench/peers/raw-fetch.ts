/**
 * A client that asks for a whole repository in Git's protocol version 2 and throws the pack away, once it has seen that
 * the pack is whole: its head, and the checksum at its end (gitprotocol-v2, gitformat-pack). A real client spends
 * ten times more on indexing than any server on serving, and on two cores one would measure that.
 */
import { spawn } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Readable } from 'node:stream';
import type { Peer, Served } from './peer.ts';

export interface Fetched {
  readonly objects: number;
  readonly packBytes: number;
}

/** @throws where what came is not a whole pack. */
export async function fetchAll(
  peer: Peer,
  {
    repository,
    wants,
    ciphers,
  }: { readonly repository: Served; readonly wants: readonly string[]; readonly ciphers?: string },
): Promise<Fetched> {
  const asked = fetchRequest(wants);
  const { reach } = peer;
  switch (reach.kind) {
    case 'http': {
      const url = `${peer.url(repository)}/git-upload-pack`;
      const headers = {
        ...reach.headers,
        'content-type': 'application/x-git-upload-pack-request',
        'git-protocol': 'version=2',
      };
      const sent = request(url, { method: 'POST', headers, agent: false });
      sent.end(asked);
      const [answer] = (await once(sent, 'response')) as [Readable & { statusCode?: number }];
      if (answer.statusCode !== 200) throw new Error(`${peer.name}: HTTP ${answer.statusCode}`);
      return await readAnswer(answer, false);
    }
    case 'ssh': {
      const [program = '', ...words] = reach.argv;
      const more = ['-o', 'SendEnv=GIT_PROTOCOL', ...(ciphers === undefined ? [] : ['-o', `Ciphers=${ciphers}`])];
      const child = spawn(program, [...words, ...more, 'bench', `git-upload-pack '${reach.path(repository)}'`], {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: { ...peer.env, GIT_PROTOCOL: 'version=2' },
      });
      child.stdin.on('error', () => {}); // seen as an answer that ends early
      const ended = once(child, 'exit');
      child.stdin.write(asked);
      const fetched = await readAnswer(child.stdout, true);
      child.stdin.end('0000');
      await ended;
      return fetched;
    }
    case 'git': {
      const socket = connect({ host: reach.host, port: reach.port });
      await once(socket, 'connect');
      const path = new URL(peer.url(repository)).pathname;
      socket.write(pkt(`git-upload-pack ${path}\0host=localhost\0\0version=2\0`));
      socket.write(asked);
      const fetched = await readAnswer(socket, true);
      socket.destroy();
      return fetched;
    }
    case 'file':
      throw new Error('a fetch without a server is not measured');
    default:
      throw new Error(reach satisfies never);
  }
}

export function pkt(text: string): string {
  return (Buffer.byteLength(text) + 4).toString(16).padStart(4, '0') + text;
}

function fetchRequest(wants: readonly string[]): string {
  const head = `${pkt('command=fetch\n')}${pkt('agent=git/bench')}${pkt('object-format=sha1')}0001`;
  return `${head}${pkt('ofs-delta\n')}${pkt('no-progress\n')}${wants.map((oid) => pkt(`want ${oid}\n`)).join('')}${pkt('done\n')}0000`;
}

/** @param greets the server tells its capabilities first, up to a flush. */
async function readAnswer(stream: Readable, greets: boolean): Promise<Fetched> {
  const pack = new PackCheck();
  let rest = Buffer.alloc(0);
  let greeting = greets;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    let at = 0;
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    while (bytes.length - at >= 4) {
      const length = Number.parseInt(bytes.toString('latin1', at, at + 4), 16);
      if (Number.isNaN(length)) throw new Error('the answer is no pkt-line');
      if (length === 0) {
        at += 4;
        if (!greeting) return pack.end();
        greeting = false;
        continue;
      }
      const size = Math.max(length, 4);
      if (bytes.length - at < size) break;
      if (!greeting) takeLine(bytes.subarray(at + 4, at + size), pack);
      at += size;
    }
    rest = Buffer.from(bytes.subarray(at));
  }
  throw new Error('the answer ended early');
}

function takeLine(line: Buffer, pack: PackCheck): void {
  const [band] = line;
  if (band === 1) pack.take(line.subarray(1));
  else if (band === 3 || line.toString('latin1', 0, 4) === 'ERR ')
    throw new Error(`the server says: ${line.toString('utf8')}`);
}

/** Hashes all but the last twenty bytes, which say what the hash is. */
class PackCheck {
  readonly #hash: Hash = createHash('sha1');
  #tail = Buffer.alloc(0);
  #head = Buffer.alloc(0);
  #bytes = 0;

  take(bytes: Buffer): void {
    if (this.#head.length < 12) this.#head = Buffer.concat([this.#head, bytes]).subarray(0, 12);
    this.#bytes += bytes.length;
    if (bytes.length >= 20) {
      this.#hash.update(this.#tail);
      this.#hash.update(bytes.subarray(0, -20));
      this.#tail = Buffer.from(bytes.subarray(-20));
    } else {
      const joined = Buffer.concat([this.#tail, bytes]);
      const keep = Math.max(0, joined.length - 20);
      this.#hash.update(joined.subarray(0, keep));
      this.#tail = joined.subarray(keep);
    }
  }

  end(): Fetched {
    if (this.#head.toString('latin1', 0, 4) !== 'PACK') throw new Error('no pack came');
    if (this.#hash.digest('hex') !== this.#tail.toString('hex')) throw new Error('the pack is damaged');
    return { objects: this.#head.readUInt32BE(8), packBytes: this.#bytes };
  }
}
