/**
 * What a client asks of receive-pack, read strictly and bounded (gitprotocol-pack, "Reference Update Request and
 * Packfile Transfer"): ref updates, capabilities, shallow lines, push options. The pack that follows is not read here.
 */
import { isUtf8 } from 'node:buffer';
import { BOUNDS } from '../base/bounds.ts';
import { badInput } from '../base/fault.ts';
import { parseCapabilities, capabilityValue, type Capabilities } from '../git/capabilities.ts';
import { isZeroOid, parseOid, type ObjectFormat, type Oid } from '../git/oid.ts';
import { pktText, type Pkt } from '../git/pkt-line.ts';
import { parsePushCertificate, type PushCertificate } from './push-certificate.ts';

/** One ref update as asked for. `name` is printable but may be no valid refname. */
export interface RefCommand {
  readonly name: string;
  readonly oldOid: Oid;
  readonly newOid: Oid;
}

/** What the client can take; known from its first command on. */
export interface ClientAbilities {
  readonly report: boolean;
  readonly sideband: boolean;
  readonly quiet: boolean;
  readonly atomic: boolean;
  readonly pushOptions: boolean;
}

export interface PushRequest {
  /** In the client's order, one for each name. */
  readonly commands: readonly RefCommand[];
  /** Names that came more than once: none of their updates is carried out. */
  readonly repeated: ReadonlySet<string>;
  readonly abilities: ClientAbilities;
  readonly options: readonly string[];
  /** Commits whose parents the client does not have. */
  readonly shallow: readonly Oid[];
  /** A pack follows unless every command deletes. */
  readonly expectsPack: boolean;
  /** Where the push is signed: then its commands are those of the certificate. */
  readonly certificate?: PushCertificate;
}

interface PktSource {
  next(): Promise<Pkt | undefined>;
  readonly bytesRead: number;
}

export interface ReadOptions {
  readonly format: ObjectFormat;
  /** Called as soon as it is known how the client can be spoken to, even where the rest turns out malformed. */
  readonly onAbilities: (abilities: ClientAbilities) => void;
  /** Whether signed pushes are offered; default: no. */
  readonly takesCertificates?: boolean;
}

/**
 * The request; undefined where the client has nothing to ask (a lone flush, or the end of the stream).
 * @throws Fault `bad-input` where it is malformed, truncated or passes a bound.
 */
export async function readPushRequest(reader: PktSource, options: ReadOptions): Promise<PushRequest | undefined> {
  const reading = new Reading(options);
  const start = reader.bytesRead;
  for (;;) {
    const pkt = await reader.next();
    if (pkt === undefined) {
      if (reading.isEmpty) return undefined;
      throw badInput('protocol error: the connection ended inside the list of ref updates');
    }
    if (pkt.kind === 'flush') break;
    if (pkt.kind !== 'data') throw badInput(`protocol error: unexpected ${pkt.kind} pkt in the list of ref updates`);
    if (reader.bytesRead - start > BOUNDS.pushCommandBytesMax) {
      throw badInput(`one push has at most ${BOUNDS.pushCommandBytesMax} bytes of ref updates`);
    }
    reading.line(pkt.payload);
  }
  if (reading.isEmpty) return undefined;
  const pushOptions = reading.abilities?.pushOptions === true ? await readPushOptions(reader) : [];
  return reading.end(pushOptions);
}

class Reading {
  readonly #options: ReadOptions;
  readonly #commands = new Map<string, RefCommand>();
  readonly #repeated = new Set<string>();
  readonly #shallow: Oid[] = [];
  #count = 0;
  /** Lines of the push certificate so far; undefined: there is none. */
  #certified: Buffer[] | undefined;
  #certifiedBytes = 0;
  #certificate: PushCertificate | undefined;
  abilities: ClientAbilities | undefined;

  constructor(options: ReadOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#count === 0 && this.#shallow.length === 0 && this.#certified === undefined;
  }

  line(payload: Buffer): void {
    if (this.#certified !== undefined) {
      this.#certifiedLine(payload, this.#certified);
      return;
    }
    const nul = payload.indexOf(0);
    const words = nul === -1 ? payload : payload.subarray(0, nul);
    const text = pktText(words);
    if (text.startsWith('shallow ')) {
      this.#shallowLine(text.slice('shallow '.length));
      return;
    }
    if (this.abilities === undefined) this.#firstLine(nul === -1 ? '' : pktText(payload.subarray(nul + 1)));
    else if (nul !== -1) throw badInput('protocol error: NUL in a ref update');
    if (text === 'push-cert') {
      if (this.#options.takesCertificates !== true)
        throw badInput('protocol error: signed pushes are not offered here');
      if (this.#count > 0) throw badInput('protocol error: ref updates outside of the push certificate');
      this.#certified = [];
      return;
    }
    this.#command(words, text);
  }

  end(options: readonly string[]): PushRequest {
    const { abilities } = this;
    if (abilities === undefined) throw badInput('protocol error: shallow lines without a ref update');
    const certificate = this.#certificate;
    if (this.#certified !== undefined && certificate === undefined) {
      throw badInput('protocol error: the push certificate has no end');
    }
    if (certificate !== undefined && JSON.stringify(certificate.options) !== JSON.stringify(options)) {
      throw badInput('protocol error: the push options are not those of the push certificate');
    }
    const commands = [...this.#commands.values()];
    const expectsPack = commands.some((command) => !isZeroOid(command.newOid));
    const signed = certificate === undefined ? {} : { certificate };
    return { commands, repeated: this.#repeated, abilities, options, shallow: this.#shallow, expectsPack, ...signed };
  }

  /** What is asked for is what is signed, and nothing else. */
  #certifiedLine(payload: Buffer, lines: Buffer[]): void {
    if (this.#certificate !== undefined) throw badInput('protocol error: lines behind the push certificate');
    if (pktText(payload) === 'push-cert-end') {
      this.#certificate = parsePushCertificate(lines);
      for (const line of this.#certificate.commands) {
        const bytes = line.subarray(0, -1);
        if (bytes.includes(0)) throw badInput('protocol error: NUL in a ref update');
        this.#command(bytes, pktText(bytes));
      }
      return;
    }
    this.#certifiedBytes += payload.length;
    if (this.#certifiedBytes > BOUNDS.pushCertificateBytesMax) {
      throw badInput(`a push certificate has at most ${BOUNDS.pushCertificateBytesMax} bytes: push fewer refs at once`);
    }
    lines.push(Buffer.from(payload));
  }

  #firstLine(list: string): void {
    const parsed = parseCapabilities(list);
    if (parsed.kind === 'refused') throw badInput(parsed.reason);
    this.abilities = abilitiesIn(parsed.value);
    this.#options.onAbilities(this.abilities);
    // A client that names none means sha1 (gitprotocol-capabilities, "object-format").
    const format = capabilityValue(parsed.value, 'object-format') ?? 'sha1';
    if (format !== this.#options.format) {
      throw badInput(`this repository's object format is ${this.#options.format}, the push is ${printable(format)}`);
    }
  }

  #shallowLine(text: string): void {
    const oid = parseOid(text, this.#options.format);
    if (oid === undefined) throw badInput('protocol error: bad shallow line');
    if (this.#shallow.length >= BOUNDS.pushCommandsMax) throw badInput('protocol error: too many shallow lines');
    this.#shallow.push(oid);
  }

  #command(bytes: Buffer, text: string): void {
    this.#count += 1;
    if (this.#count > BOUNDS.pushCommandsMax) {
      throw badInput(`one push updates at most ${BOUNDS.pushCommandsMax} refs`);
    }
    const digits = this.#options.format === 'sha1' ? 40 : 64;
    const oldOid = parseOid(text.slice(0, digits), this.#options.format);
    const newOid = parseOid(text.slice(digits + 1, 2 * digits + 1), this.#options.format);
    const separators = `${text[digits] ?? ''}${text[2 * digits + 1] ?? ''}`;
    const name = text.slice(2 * digits + 2);
    if (oldOid === undefined || newOid === undefined || separators !== '  ' || name === '') {
      throw badInput(`protocol error: ref update ${this.#count} is not "OLD NEW REF"`);
    }
    // Such a name cannot even be written back in a report line.
    if (!isUtf8(bytes) || /[\x00-\x1f\x7f]/.test(name) || Buffer.byteLength(name) > BOUNDS.refnameBytesMax) {
      throw badInput(`protocol error: ref update ${this.#count} has a refname that is too long or not printable`);
    }
    if (this.#commands.has(name)) this.#repeated.add(name);
    else this.#commands.set(name, { name, oldOid, newOid });
  }
}

function abilitiesIn(capabilities: Capabilities): ClientAbilities {
  return {
    report: capabilities.has('report-status') || capabilities.has('report-status-v2'),
    sideband: capabilities.has('side-band-64k'),
    quiet: capabilities.has('quiet'),
    atomic: capabilities.has('atomic'),
    pushOptions: capabilities.has('push-options'),
  };
}

async function readPushOptions(reader: PktSource): Promise<readonly string[]> {
  const options: string[] = [];
  for (;;) {
    const pkt = await reader.next();
    if (pkt === undefined) throw badInput('protocol error: the connection ended inside the push options');
    if (pkt.kind === 'flush') return options;
    if (pkt.kind !== 'data') throw badInput(`protocol error: unexpected ${pkt.kind} pkt in the push options`);
    if (options.length >= BOUNDS.pushOptionsMax) throw badInput(`a push has at most ${BOUNDS.pushOptionsMax} options`);
    const text = pktText(pkt.payload);
    if (pkt.payload.length > BOUNDS.pushOptionBytesMax + 1) {
      throw badInput(`a push option has at most ${BOUNDS.pushOptionBytesMax} bytes`);
    }
    if (!isUtf8(pkt.payload) || /[\x00-\x08\x0a-\x1f\x7f]/.test(text)) throw badInput('a push option is not printable');
    options.push(text);
  }
}

function printable(text: string): string {
  return text.slice(0, 32).replaceAll(/[^\x20-\x7e]/g, '?');
}
