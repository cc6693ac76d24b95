/**
 * The LFS server of a mirror's upstream, as its client (git-lfs docs/api/server-discovery.md, batch.md, basic-transfers.md).
 * The credential goes to the upstream's own host only; what its links carry is followed by the gate and shown to nobody.
 */
import type { Fault } from '../../base/fault.ts';
import type { Upstream, UpstreamCredential } from '../upstream.ts';
import { bracketed } from '../upstream-url.ts';
import type { Remote } from '../wire/remote.ts';
import { Words } from '../wire/words.ts';
import { readBatch, readLogin, type Action, type BatchObject, type Login } from './answers.ts';
import { bodyOf, contentOf, exchange, fault, type ExchangeParts } from './exchange.ts';

export interface LfsPointer {
  readonly oid: string;
  readonly size: number;
}

export interface LfsCall {
  readonly requestId: string;
  readonly signal: AbortSignal;
}

export interface LfsClientParts {
  readonly upstream: Upstream;
  readonly credential: UpstreamCredential | undefined;
  readonly remote: Pick<Remote, 'run'>;
  /** Milliseconds of silence; of silence while the server may be at work on what it was sent. */
  readonly silenceMs: number;
  readonly workMs: number;
}

type Operation = 'download' | 'upload';

const JSON_TYPE = 'application/vnd.git-lfs+json';
const BATCH_MAX = 100;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const REASON_BYTES_MAX = 1_024;

/** For one request of a client's, or one push. */
export class LfsClient {
  readonly #parts: LfsClientParts & ExchangeParts;
  readonly #logins = new Map<Operation, Promise<Login>>();

  constructor(parts: LfsClientParts) {
    const words = new Words(parts.upstream.url, REASON_BYTES_MAX);
    words.hide(parts.credential);
    this.#parts = { ...parts, words };
  }

  /** Oids that the upstream has. @throws Fault `upstream`, `aborted`, `timeout`; so do the others. */
  async having(pointers: readonly LfsPointer[], call: LfsCall): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for (const objects of await this.#batches('download', pointers, call)) {
      for (const { oid, download, error } of objects) if (download !== undefined && error === undefined) found.add(oid);
    }
    return found;
  }

  /** Undefined: the upstream does not have it. */
  async download(pointer: LfsPointer, call: LfsCall): Promise<AsyncIterable<Uint8Array> | undefined> {
    const [object] = (await this.#batches('download', [pointer], call)).flat();
    if (object?.download === undefined || object.error !== undefined) return undefined;
    const headers = await this.#headersFor('download', object, { action: object.download, call });
    const { signal } = call;
    const { silenceMs } = this.#parts;
    const response = await exchange(this.#parts, {
      method: 'GET',
      href: object.download.href,
      headers,
      silenceMs,
      signal,
    });
    if (response.statusCode === 404) {
      response.destroy();
      return undefined;
    }
    if (response.statusCode !== 200) throw await this.#refused(response, 'a download', signal);
    return contentOf(this.#parts, response, signal);
  }

  /** Sends what the upstream does not have yet. */
  async upload(
    outgoing: readonly { readonly pointer: LfsPointer; readonly content: () => AsyncIterable<Uint8Array> }[],
    call: LfsCall,
  ): Promise<void> {
    const byOid = new Map(outgoing.map((each) => [each.pointer.oid, each]));
    const pointers = outgoing.map(({ pointer }) => pointer);
    for (const object of (await this.#batches('upload', pointers, call)).flat()) {
      const own = byOid.get(object.oid);
      if (object.error !== undefined) throw fault(this.#parts, `does not take ${object.oid}: ${object.error.message}`);
      if (own === undefined) throw fault(this.#parts, 'answers about an object that it was not asked about');
      byOid.delete(object.oid);
      if (object.upload !== undefined) await this.#send(object, { ...own, action: object.upload, call });
    }
    if (byOid.size > 0) throw fault(this.#parts, 'does not answer about every object');
  }

  async #send(
    object: BatchObject,
    about: {
      readonly pointer: LfsPointer;
      readonly content: () => AsyncIterable<Uint8Array>;
      readonly action: Action;
      readonly call: LfsCall;
    },
  ): Promise<void> {
    const { pointer, content, action, call } = about;
    const { signal } = call;
    const { workMs: silenceMs } = this.#parts;
    const headers = await this.#headersFor('upload', object, { action, call });
    const response = await exchange(this.#parts, {
      method: 'PUT',
      href: action.href,
      headers: { 'content-type': 'application/octet-stream', ...headers },
      body: { bytes: pointer.size, content: content() },
      silenceMs,
      signal,
    });
    if (!isGood(response.statusCode)) throw await this.#refused(response, 'an upload', signal);
    response.resume();
    const { verify } = object;
    if (verify === undefined) return;
    const own = await this.#headersFor('upload', object, { action: verify, call });
    await this.#post(verify.href, { oid: pointer.oid, size: pointer.size }, { headers: own, call, silenceMs });
  }

  async #batches(
    operation: Operation,
    pointers: readonly LfsPointer[],
    call: LfsCall,
  ): Promise<readonly (readonly BatchObject[])[]> {
    const login = await this.#login(operation, call);
    const { silenceMs } = this.#parts;
    const answers: (readonly BatchObject[])[] = [];
    for (let at = 0; at < pointers.length; at += BATCH_MAX) {
      const objects = pointers.slice(at, at + BATCH_MAX).map(({ oid, size }) => ({ oid, size }));
      const body = { operation, transfers: ['basic'], objects, hash_algo: 'sha256' };
      const { headers } = login;
      const text = await this.#post(`${login.href}/objects/batch`, body, { headers, call, silenceMs });
      const read = readBatch(text);
      if (read === undefined) throw fault(this.#parts, 'does not answer as the batch API says');
      answers.push([...read.values()]);
    }
    return answers;
  }

  async #post(
    href: string,
    body: object,
    about: { readonly headers: Login['headers']; readonly call: LfsCall; readonly silenceMs: number },
  ): Promise<string> {
    const { headers, call, silenceMs } = about;
    const { signal } = call;
    const bytes = Buffer.from(JSON.stringify(body));
    const response = await exchange(this.#parts, {
      method: 'POST',
      href,
      headers: { accept: JSON_TYPE, 'content-type': JSON_TYPE, ...headers },
      body: { bytes: bytes.length, content: [bytes] },
      silenceMs,
      signal,
    });
    if (!isGood(response.statusCode)) throw await this.#refused(response, 'a request', signal);
    return bodyOf(this.#parts, response, { bytesMax: ANSWER_BYTES_MAX, signal });
  }

  async #refused(response: Awaited<ReturnType<typeof exchange>>, what: string, signal: AbortSignal): Promise<Fault> {
    const { statusCode = 0 } = response;
    const type = response.headers['content-type'] ?? '';
    const text = type.includes('json')
      ? await bodyOf(this.#parts, response, { bytesMax: 64 * 1024, signal }).catch(() => '')
      : '';
    response.destroy();
    const said = messageIn(text);
    return fault(this.#parts, `refuses ${what} (${statusCode})${said === '' ? '' : `: ${said}`}`);
  }

  /** A link that carries nothing gets the credential, where it leads to the host that the credential is for. */
  async #headersFor(
    operation: Operation,
    { isAuthenticated }: BatchObject,
    { action, call }: { readonly action: Action; readonly call: LfsCall },
  ): Promise<Readonly<Record<string, string>>> {
    const { href, headers } = action;
    if (isAuthenticated || Object.keys(headers).length > 0) return headers;
    const login = await this.#login(operation, call);
    return URL.parse(href)?.origin === URL.parse(login.href)?.origin ? login.headers : headers;
  }

  #login(operation: Operation, call: LfsCall): Promise<Login> {
    const known = this.#logins.get(operation) ?? this.#logIn(operation, call);
    this.#logins.set(operation, known);
    return known;
  }

  async #logIn(operation: Operation, call: LfsCall): Promise<Login> {
    const { upstream, credential, remote } = this.#parts;
    const { scheme, host, port, path } = upstream.url;
    if (scheme === 'git') throw fault(this.#parts, 'is not there: git:// knows no Git LFS');
    if (scheme === 'ssh') {
      const words = ['git-lfs-authenticate', path, operation];
      const login = readLogin((await remote.run?.({ ...call, words })) ?? '');
      if (login === undefined) throw fault(this.#parts, 'is not there: git-lfs-authenticate gives no address');
      return { ...login, href: login.href.replace(/\/+$/, '') };
    }
    const suffix = path.endsWith('.git') ? '/info/lfs' : '.git/info/lfs';
    const href = `${scheme}://${bracketed(host)}:${port}${path}${suffix}`;
    return { href, headers: authorizationOf(credential) };
  }
}

function authorizationOf(credential: UpstreamCredential | undefined): Readonly<Record<string, string>> {
  if (credential?.kind !== 'token') return {};
  const { username, secret, bearer } = credential;
  if (bearer) return { authorization: `Bearer ${secret}` };
  return { authorization: `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}` };
}

function isGood(status: number | undefined): boolean {
  return status !== undefined && status >= 200 && status < 300;
}

function messageIn(text: string): string {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && 'message' in body) return String(body.message).slice(0, 500);
  } catch {
    // No JSON: the status says enough.
  }
  return '';
}
