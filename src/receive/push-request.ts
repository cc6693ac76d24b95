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
}

interface PktSource {
  next(): Promise<Pkt | undefined>;
  readonly bytesRead: number;
}

export interface ReadOptions {
  readonly format: ObjectFormat;
  /** Called as soon as it is known how the client can be spoken to, even where the rest turns out malformed. */
  readonly onAbilities: (abilities: ClientAbilities) => void;
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
  abilities: ClientAbilities | undefined;

  constructor(options: ReadOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#count === 0 && this.#shallow.length === 0;
  }

  line(payload: Buffer): void {
    const nul = payload.indexOf(0);
    const words = nul === -1 ? payload : payload.subarray(0, nul);
    const text = pktText(words);
    if (text.startsWith('shallow ')) {
      this.#shallowLine(text.slice('shallow '.length));
      return;
    }
    if (this.abilities === undefined) this.#firstLine(nul === -1 ? '' : pktText(payload.subarray(nul + 1)));
    else if (nul !== -1) throw badInput('protocol error: NUL in a ref update');
    if (text === 'push-cert') throw badInput('protocol error: signed pushes are not offered here');
    this.#command(words, text);
  }

  end(options: readonly string[]): PushRequest {
    const { abilities } = this;
    if (abilities === undefined) throw badInput('protocol error: shallow lines without a ref update');
    const commands = [...this.#commands.values()];
    const expectsPack = commands.some((command) => !isZeroOid(command.newOid));
    return { commands, repeated: this.#repeated, abilities, options, shallow: this.#shallow, expectsPack };
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
