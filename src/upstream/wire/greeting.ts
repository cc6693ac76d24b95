/**
 * What a server says first: the capabilities of v2 (gitprotocol-v2, "Capability Advertisement"), or v0's list of refs
 * (gitprotocol-pack, "Reference Discovery"), which a server gives that was not told of v2 or does not know it.
 */
import { BOUNDS } from '../../base/bounds.ts';
import { capabilityValue, parseCapabilities, type Capabilities } from '../../git/capabilities.ts';
import { isZeroOid, OBJECT_FORMATS, parseOid, type ObjectFormat, type Oid } from '../../git/oid.ts';
import { pktText } from '../../git/pkt-line.ts';
import { isInternalRefname, parseRefname } from '../../git/refname.ts';
import type { Call } from './call.ts';
import type { DataPkt, Incoming } from './incoming.ts';

export interface GreetingV2 {
  readonly kind: 'v2';
  /** Name to value; without one: empty. */
  readonly capabilities: ReadonlyMap<string, string>;
  readonly objectFormat: ObjectFormat;
}

export interface GreetingV0 {
  readonly kind: 'v0';
  readonly capabilities: Capabilities;
  readonly objectFormat: ObjectFormat;
  readonly refs: ReadonlyMap<string, Oid>;
  /** What HEAD points at, where the server tells. */
  readonly head: string | undefined;
  /** Objects that the server has without showing a ref for them (`.have`), oldest first; bounded. */
  readonly extra: readonly Oid[];
}

export type Greeting = GreetingV2 | GreetingV0;

const CAPABILITY_LINES_MAX = 256;
const EXTRA_MAX = 10_000;

/** Reads a whole greeting. @throws Fault `upstream` where it is malformed or over a bound. */
export async function readGreeting(incoming: Incoming, call: Call): Promise<Greeting> {
  // At once after the connection: hooks and slow disks count as work.
  let first = await incoming.expect();
  if (first.kind === 'data' && pktText(first.payload).startsWith('# service=')) {
    const flush = await incoming.expect();
    if (flush.kind !== 'flush') throw call.words.broke('no flush behind the name of the service');
    first = await incoming.expect();
  }
  if (first.kind === 'flush') return emptyGreeting();
  if (first.kind !== 'data') throw call.words.broke('a greeting starts with a line');
  const text = pktText(first.payload);
  if (text === 'version 2') return readV2(incoming, call);
  if (text !== 'version 1') return new ListReader(incoming, call).read(first);
  const line = await incoming.expect();
  return line.kind === 'data' ? new ListReader(incoming, call).read(line) : emptyGreeting();
}

/** A server of before 2011 says nothing at all of an empty repository. */
function emptyGreeting(): GreetingV0 {
  return { kind: 'v0', capabilities: new Map(), objectFormat: 'sha1', refs: new Map(), head: undefined, extra: [] };
}

async function readV2(incoming: Incoming, call: Call): Promise<GreetingV2> {
  const capabilities = new Map<string, string>();
  for (;;) {
    const pkt = await incoming.expect();
    if (pkt.kind === 'flush') break;
    if (pkt.kind !== 'data' || capabilities.size >= CAPABILITY_LINES_MAX) {
      throw call.words.broke('a malformed list of capabilities');
    }
    const text = pktText(pkt.payload);
    const equals = text.indexOf('=');
    const name = equals === -1 ? text : text.slice(0, equals);
    // Unknown ones are to be ignored (gitprotocol-v2, "Capabilities"); what is no capability is not.
    if (!/^[A-Za-z0-9_-]{1,128}$/.test(name)) throw call.words.broke('a malformed capability');
    capabilities.set(name, equals === -1 ? '' : text.slice(equals + 1));
  }
  return { kind: 'v2', capabilities, objectFormat: formatOf(capabilities.get('object-format'), call) };
}

/** @throws Fault `upstream` for a format that is none of ours. */
function formatOf(name: string | undefined, call: Call): ObjectFormat {
  const format = OBJECT_FORMATS.find((known) => known === (name ?? 'sha1'));
  if (format === undefined) throw call.words.broke(`object format ${name ?? ''} is not known here`);
  return format;
}

/** v0's list, up to its flush. */
class ListReader {
  readonly #incoming: Incoming;
  readonly #call: Call;
  readonly #refs = new Map<string, Oid>();
  readonly #extra: Oid[] = [];
  #format: ObjectFormat = 'sha1';

  constructor(incoming: Incoming, call: Call) {
    this.#incoming = incoming;
    this.#call = call;
  }

  async read(first: DataPkt): Promise<GreetingV0> {
    const capabilities = this.#readFirst(first);
    for (;;) {
      const pkt = await this.#incoming.expect();
      if (pkt.kind === 'flush') break;
      if (pkt.kind !== 'data') throw this.#call.words.broke('a malformed list of refs');
      // Of all lines: those that are left out have no other bound.
      if (this.#incoming.bytesRead > this.#call.limits.refsBytesMax) {
        throw this.#call.words.broke('its list of refs is too long');
      }
      this.#readLine(pktText(pkt.payload));
    }
    return {
      kind: 'v0',
      capabilities,
      objectFormat: this.#format,
      refs: this.#refs,
      head: headOf(capabilities),
      extra: this.#extra,
    };
  }

  /** `OID NAME NUL CAPABILITIES`; without a ref `0000... capabilities^{} NUL ...`. */
  #readFirst({ payload }: DataPkt): Capabilities {
    const { words } = this.#call;
    const nul = payload.indexOf(0);
    const list = parseCapabilities(nul === -1 ? '' : pktText(payload.subarray(nul + 1)).trim());
    if (list.kind === 'refused') throw words.broke(list.reason);
    this.#format = formatOf(capabilityValue(list.value, 'object-format'), this.#call);
    const line = pktText(nul === -1 ? payload : payload.subarray(0, nul));
    const [oid, name] = split(line);
    const parsed = parseOid(oid, this.#format);
    if (parsed === undefined) throw words.broke(`"${line.slice(0, 80)}" is no line of a list of refs`);
    if (name !== 'capabilities^{}') this.#readLine(line);
    else if (!isZeroOid(parsed)) throw words.broke('capabilities^{} is no ref');
    return list.value;
  }

  #readLine(line: string): void {
    const { words } = this.#call;
    const [word, name] = split(line);
    if (word === 'shallow' && parseOid(name, this.#format) !== undefined) return;
    const oid = parseOid(word, this.#format);
    if (oid === undefined || isZeroOid(oid)) throw words.broke(`"${line.slice(0, 80)}" is no line of a list of refs`);
    if (name === 'HEAD' || name.endsWith('^{}')) return;
    if (name === '.have') {
      if (this.#extra.length < EXTRA_MAX) this.#extra.push(oid);
      return;
    }
    addRef({ refs: this.#refs, name, oid, call: this.#call });
  }
}

/** The symbolic ref of HEAD (gitprotocol-capabilities, "symref"). */
function headOf(capabilities: Capabilities): string | undefined {
  const target = capabilities.get('symref')?.find((value) => value.startsWith('HEAD:'));
  return target === undefined ? undefined : parseRefname(target.slice('HEAD:'.length));
}

function split(line: string): readonly [string, string] {
  const space = line.indexOf(' ');
  return space === -1 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)];
}

/**
 * Adds a ref that the upstream shows. Refs of the gate's own names are left out (an upstream cannot set them), and so are
 * those that stand directly below `refs/` (`refs/stash`), which nobody fetches. @throws Fault `upstream` for a bad name,
 * one that came before, or one too many.
 */
export function addRef(about: {
  readonly refs: Map<string, Oid>;
  readonly name: string;
  readonly oid: Oid;
  readonly call: Call;
}): void {
  const { refs, name, oid, call } = about;
  // What is no UTF-8 could not be asked for again.
  const refname = name.includes('\ufffd') ? undefined : parseRefname(name);
  if (refname === undefined) {
    if (/^refs\/[A-Za-z0-9_-]{1,100}$/.test(name)) return;
    throw call.words.broke(`"${name.slice(0, BOUNDS.refnameBytesMax)}" is no name of a ref`);
  }
  if (isInternalRefname(refname)) return;
  if (refs.has(refname)) throw call.words.broke(`it lists ${refname} twice`);
  if (refs.size >= call.limits.refsMax) throw call.words.broke(`it has more than ${call.limits.refsMax} refs`);
  refs.set(refname, oid);
}
