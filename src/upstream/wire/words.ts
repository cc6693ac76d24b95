/**
 * What a client or an operator reads about an upstream: its name, what it said (cleaned, bounded, without the credential
 * should it echo it), and the faults that carry both.
 */
import { Fault } from '../../base/fault.ts';
import type { UpstreamCredential, UpstreamUrl } from '../upstream.ts';
import { bracketed } from '../upstream-url.ts';

const DEFAULT_PORTS = { ssh: 22, https: 443, http: 80, git: 9418 } as const;
/** A shorter secret is not looked for: it would tear ordinary words apart. */
const SECRET_LENGTH_MIN = 6;
const REDACTED = '[credential removed]';
// Escape sequences of terminals (ECMA-48: CSI, then OSC), before single control characters go.
const SEQUENCES = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?/g;
const CONTROLS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\ufffd]/gu;

export class Words {
  /** `git@host (org/repo)`, `https://host/org/repo`. */
  readonly label: string;
  /** `host:port`. */
  readonly place: string;
  readonly #reasonBytesMax: number;
  #secrets: readonly string[] = [];

  constructor(url: UpstreamUrl, reasonBytesMax: number) {
    const host = bracketed(url.host);
    const isDefault = url.port === DEFAULT_PORTS[url.scheme];
    const at = isDefault ? host : `${host}:${url.port}`;
    this.place = `${host}:${url.port}`;
    this.label =
      url.scheme === 'ssh' ? `${url.user ?? 'git'}@${at} (${url.path})` : `${url.scheme}://${at}${slashed(url.path)}`;
    this.#reasonBytesMax = reasonBytesMax;
  }

  /** From now on what the upstream says is searched for this credential, and for the one before: it may still be in use. */
  hide(credential: UpstreamCredential | undefined): void {
    if (credential?.kind !== 'token') return;
    const { username, secret } = credential;
    const forms = [secret, encodeURIComponent(secret), base64(`${username}:${secret}`), base64(secret)];
    const known = new Set([...forms.flatMap((form) => [form, form.replace(/=+$/, '')]), ...this.#secrets]);
    this.#secrets = [...known]
      .filter((form) => form.length >= SECRET_LENGTH_MIN)
      .slice(0, 32)
      .toSorted((one, other) => other.length - one.length);
  }

  /** Text of the upstream as it may be shown: no control characters but LF, no credential. */
  clean(text: string): string {
    let shown = text.replaceAll(SEQUENCES, '').replaceAll('\t', ' ');
    shown = shown.replaceAll(CONTROLS, (character) => (character === '\n' ? '\n' : ''));
    for (const secret of this.#secrets) shown = shown.replaceAll(secret, REDACTED);
    return shown;
  }

  /** The same in one line, and short. */
  reason(text: string): string {
    const line = this.clean(text)
      .split('\n')
      .map((part) => part.trim())
      .filter((part) => part !== '')
      .join('; ');
    return line.length <= this.#reasonBytesMax ? line : `${line.slice(0, this.#reasonBytesMax)}...`;
  }

  /** What the upstream itself gives as its reason. */
  said(text: string, cause?: unknown): Fault {
    const reason = this.reason(text);
    return this.fault(
      'upstream refused',
      `the upstream ${this.label} says: ${reason === '' ? 'nothing' : reason}`,
      cause,
    );
  }

  /** It spoke, but not Git's protocol, or over a bound. */
  broke(what: string, cause?: unknown): Fault {
    const publicMessage = `the upstream ${this.label} broke Git's protocol: ${this.reason(what)}`;
    return this.fault('upstream broke the protocol', publicMessage, cause);
  }

  /** No connection came about. */
  unreachable(why: string, cause?: unknown): Fault {
    const publicMessage = `cannot reach the upstream ${this.place}: ${this.reason(why)}`;
    return this.fault('cannot reach upstream', publicMessage, cause);
  }

  /** The connection ended where it should not. `lastWords`: its standard error. */
  brokeOff(lastWords: string | undefined, cause?: unknown): Fault {
    if (lastWords !== undefined && this.reason(lastWords) !== '') return this.said(lastWords, cause);
    return this.fault('upstream broke off', `the upstream ${this.label} closed the connection without a word`, cause);
  }

  /** @param message constant, for the log. */
  fault(message: string, publicMessage: string, cause?: unknown): Fault {
    return new Fault('upstream', message, { cause, context: { upstream: this.label }, publicMessage });
  }

  late(ms: number): Fault {
    const publicMessage = `the upstream ${this.label} did not answer within ${Math.max(1, Math.round(ms / 1_000))} s`;
    return new Fault('timeout', 'upstream did not answer', { context: { upstream: this.label, ms }, publicMessage });
  }
}

/**
 * Sideband 2 (or standard error) of the upstream for `tell`: whole lines, cleaned, bounded. A line that the next one
 * overwrites (progress, ended by CR) is not told.
 */
export class Murmur {
  readonly #words: Words;
  readonly #tell: ((text: string) => void) | undefined;
  readonly #decoder = new TextDecoder();
  #left: number;
  #line = '';

  constructor(words: Words, tell: ((text: string) => void) | undefined, bytesMax: number) {
    this.#words = words;
    this.#tell = tell;
    this.#left = bytesMax;
  }

  hear(bytes: Uint8Array): void {
    if (this.#tell === undefined || this.#left <= 0) return;
    this.#line += this.#decoder.decode(bytes, { stream: true });
    const lines = this.#line.split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) this.#say(line);
    // Of a line without an end the last part is kept: never told in pieces, so that no secret is cut in two.
    if (this.#line.length > LINE_LENGTH_MAX) this.#line = this.#line.slice(-LINE_LENGTH_MAX);
  }

  /** Tells what has no line end. */
  end(): void {
    const line = this.#line;
    this.#line = '';
    if (line !== '') this.#say(line);
  }

  #say(line: string): void {
    const shown = this.#words.clean(lastOverwritten(line)).slice(0, LINE_LENGTH_MAX);
    if (shown === '' || this.#left <= 0) return;
    this.#left -= shown.length + 1;
    this.#tell?.(this.#left > 0 ? `${shown}\n` : 'the upstream says more than is told here\n');
  }
}

const LINE_LENGTH_MAX = 4_096;

/** What stands in a terminal's line in the end. */
function lastOverwritten(line: string): string {
  return line.split('\r').findLast((part) => part !== '') ?? '';
}

function slashed(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
