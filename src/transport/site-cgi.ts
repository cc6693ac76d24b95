/**
 * gitolite's shell as a CGI program (RFC 3875) of a web server that has found out who asks: Git's URLs become the command
 * lines that SSH clients send, the walk's answer gets the head that git-http-backend gives it.
 */
import { Readable, Writable, type Transform } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { Fault } from '../base/fault.ts';
import type { GitService } from '../git/service.ts';
import { scalarOf } from '../gitolite/rc-value.ts';
import type { Env, Run } from '../gitolite/run.ts';
import { parseProtocol } from './door.ts';
import { decoderFor } from './http-body.ts';
import type { SiteInvocation } from './site-door.ts';

export interface CgiEntry {
  readonly env: Env;
  readonly argv: readonly string[];
  readonly address: string;
  readonly cgi: Cgi;
}

/** Git's request, or what is answered in its place. */
export type CgiRequest =
  | {
      readonly mode: 'advertise' | 'rpc';
      readonly service: GitService;
      readonly protocol: 0 | 1 | 2;
      readonly input: Readable;
      readonly output: Writable;
    }
  | { readonly mode: 'refused'; readonly answer: () => Promise<number> };

const GIT_PATH = /^\/(.*)\/(HEAD$|info\/refs$|objects\/|git-(?:upload|receive)-pack$)/;
const NO_CACHE =
  'Expires: Fri, 01 Jan 1980 00:00:00 GMT\r\nPragma: no-cache\r\nCache-Control: no-cache, max-age=0, must-revalidate\r\n';

export function cgiEntry(invocation: SiteInvocation): CgiEntry {
  const { env } = invocation;
  const path = GIT_PATH.exec(env['PATH_INFO'] ?? '');
  const isPush = (env['REQUEST_URI'] ?? '').includes('git-receive-pack');
  const verb = isPush ? 'git-receive-pack' : 'git-upload-pack';
  const command = path === null ? ownCommand(env) : `${verb} '${path[1] ?? ''}'`;
  const word = (name: string): string => env[name] ?? '';
  const connection = ['REMOTE_ADDR', 'REMOTE_PORT', 'SERVER_ADDR', 'SERVER_PORT'].map(word).join(' ');
  const cgi = new Cgi(invocation, path === null ? undefined : (path[2] ?? ''));
  return {
    env: { ...env, SSH_ORIGINAL_COMMAND: command, SSH_CONNECTION: connection },
    argv: [],
    address: word('REMOTE_ADDR') === '' ? '(no-IP)' : word('REMOTE_ADDR'),
    cgi,
  };
}

/** `/info?words` as a command line: `+` is a blank, `%XX` a character. */
function ownCommand(env: Env): string {
  const verb = /^\/(\S+)/.exec(env['PATH_INFO'] ?? '')?.[1] ?? '';
  const words = (env['QUERY_STRING'] ?? '')
    .replaceAll('+', ' ')
    .replaceAll(/%([0-9A-Fa-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
  return words === '' ? verb : `${verb} ${words}`;
}

/** One exchange with the web server. */
export class Cgi {
  readonly #invocation: SiteInvocation;
  /** Git's request; undefined where a command of the site's is called. */
  readonly request: CgiRequest | undefined;
  #hasHead = false;
  #output: Writable | undefined;

  /** @param target what follows the repository's name in the URL; undefined: no URL of Git's. */
  constructor(invocation: SiteInvocation, target: string | undefined) {
    this.#invocation = invocation;
    this.request = target === undefined ? undefined : this.#requestOf(target);
  }

  /** Who asks, as the web server says; nobody, where the settings name nobody to stand for everybody. */
  user(run: Run): string {
    const { env } = this.#invocation;
    return env['REMOTE_USER'] || scalarOf(run.rc.values['HTTP_ANON_USER']);
  }

  /** The head of a command's answer. */
  async begin(): Promise<void> {
    if (this.request === undefined) await this.#write(this.#head());
  }

  /** All of Git's answer is out. */
  async finish(): Promise<void> {
    if (this.#output === undefined) return;
    if (!this.#output.writableEnded) this.#output.end();
    await finished(this.#output).catch(() => {});
  }

  /** A refusal as Git's clients show it: an answer without fault whose only line is an ERR. The exit code. */
  async die(run: Run, text: string): Promise<number> {
    const line = run.env['SSH_ORIGINAL_COMMAND'] ?? this.#invocation.env['SSH_ORIGINAL_COMMAND'] ?? '';
    const service = line.includes('git-receive-pack') ? 'git-receive-pack' : 'git-upload-pack';
    // The words of a command's complaint go where its answer goes: behind the head.
    await this.#write(this.#head(service));
    await run.warn(text);
    await this.#write(`${packet(`# service=${service}\n`)}0000${packet(`ERR ${text.trimEnd()}\n`)}`);
    return 0;
  }

  #requestOf(target: string): CgiRequest {
    const { env, stdin } = this.#invocation;
    const isAdvertise = target === 'info/refs';
    const named = isAdvertise ? new URLSearchParams(env['QUERY_STRING'] ?? '').get('service') : target;
    const service = SERVICES.get(named ?? '');
    if (service === undefined) return this.#refusal('403 Forbidden', 'use a smart client: git 1.6.6 or newer');
    const method = isAdvertise ? 'GET' : 'POST';
    if (env['REQUEST_METHOD'] !== method)
      return this.#refusal('405 Method Not Allowed', `this is asked for with ${method}`);
    const wanted = `application/x-git-${service}-request`;
    if (!isAdvertise && env['CONTENT_TYPE'] !== wanted) {
      return this.#refusal('415 Unsupported Media Type', `the Content-Type of this request is ${wanted}`);
    }
    const decoder = isAdvertise ? undefined : decoderFor(env['HTTP_CONTENT_ENCODING']);
    if (decoder === 'unknown') {
      return this.#refusal('415 Unsupported Media Type', 'the Content-Encoding of a request is gzip, deflate or none');
    }
    const kind = isAdvertise ? 'advertisement' : 'result';
    return {
      mode: isAdvertise ? 'advertise' : 'rpc',
      service,
      protocol: parseProtocol(env['HTTP_GIT_PROTOCOL'] ?? env['GIT_PROTOCOL']),
      input: isAdvertise ? Readable.from([]) : bodyOf(stdin, { length: env['CONTENT_LENGTH'], decoder }),
      output: this.#outputWith(`${NO_CACHE}Content-Type: application/x-git-${service}-${kind}\r\n\r\n`),
    };
  }

  /** The head goes out with the first byte, or the end: until then the request may still be refused. */
  #outputWith(head: string): Writable {
    const { stdout } = this.#invocation;
    const begin = (): Buffer => {
      const first = Buffer.from(this.#hasHead ? '' : head);
      this.#hasHead = true;
      return first;
    };
    const output = new Writable({
      highWaterMark: 64 * 1024,
      write: (chunk: Buffer, _encoding, done) => {
        stdout.write(Buffer.concat([begin(), chunk]), done);
      },
      final: (done) => {
        stdout.write(begin(), done);
      },
    });
    output.on('error', () => {});
    this.#output = output;
    return output;
  }

  #refusal(status: string, reason: string): CgiRequest {
    const text = `Status: ${status}\r\n${NO_CACHE}Content-Type: text/plain\r\n\r\n${reason}\n`;
    const answer = async (): Promise<number> => {
      await this.#write(text);
      return 0;
    };
    return { mode: 'refused', answer };
  }

  #head(service?: string): string {
    if (this.#hasHead) return '';
    this.#hasHead = true;
    const type = service === undefined ? 'text/plain' : `application/x-${service}-advertisement`;
    return `Status: 200 OK - gitolite\r\n${NO_CACHE}Content-Type: ${type}\r\n\r\n`;
  }

  #write(text: string | Buffer): Promise<void> {
    const { stdout } = this.#invocation;
    if (text.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      stdout.write(text, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }
}

const SERVICES: ReadonlyMap<string, GitService> = new Map([
  ['git-upload-pack', 'upload-pack'],
  ['git-receive-pack', 'receive-pack'],
]);

function packet(text: string): string {
  return (Buffer.byteLength(text) + 4).toString(16).toUpperCase().padStart(4, '0') + text;
}

/** What the client sent: as much as the web server says, unpacked. */
function bodyOf(
  stdin: Readable,
  { length, decoder }: { readonly length: string | undefined; readonly decoder: Transform | undefined },
): Readable {
  const bytes = /^\d{1,15}$/.test(length ?? '') ? Number(length) : Infinity;
  const body = Readable.from(firstBytes(stdin, bytes), { objectMode: false });
  body.on('error', () => {});
  if (decoder === undefined) return body;
  // Either end may break off first; the walk hears of it by the decoder.
  pipeline(body, decoder).catch(() => {});
  return decoder;
}

async function* firstBytes(stdin: Readable, bytes: number): AsyncGenerator<Buffer, void, undefined> {
  let left = bytes;
  if (left === 0) return;
  for await (const chunk of stdin) {
    if (!Buffer.isBuffer(chunk)) continue;
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
  if (left !== Infinity) throw new Fault('aborted', 'web server sent half a body');
}
