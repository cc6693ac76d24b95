/** Capability lists of protocol v0 and v1 (gitprotocol-capabilities): words `name` or `name=value`, separated by spaces. */
import { Fault, type Parsed, ok, refuse } from '../base/fault.ts';

/** Words in one list, and bytes of it: far above what any client sends. */
const CAPABILITIES_MAX = 256;
const CAPABILITY_BYTES_MAX = 8_192;

/** Name to values in order; a name without `=` has no values; repeated names (`symref`) collect theirs. */
export type Capabilities = ReadonlyMap<string, readonly string[]>;

/** Reads a list. Refused: too long, too many, a control character, a word without a name. */
export function parseCapabilities(text: string): Parsed<Capabilities> {
  if (Buffer.byteLength(text) > CAPABILITY_BYTES_MAX) return refuse('protocol error: capability list is too long');
  if (/[\x00-\x1f\x7f]/.test(text)) return refuse('protocol error: control character in the capability list');
  const words = text.split(' ').filter((word) => word !== '');
  if (words.length > CAPABILITIES_MAX) return refuse('protocol error: too many capabilities');
  const capabilities = new Map<string, string[]>();
  for (const word of words) {
    const equals = word.indexOf('=');
    const name = equals === -1 ? word : word.slice(0, equals);
    if (name === '') return refuse('protocol error: capability without a name');
    const values = capabilities.get(name) ?? [];
    if (equals !== -1) values.push(word.slice(equals + 1));
    capabilities.set(name, values);
  }
  return ok(capabilities);
}

/** The list as written on the wire. @throws Fault `internal` where a word could not be read back. */
export function formatCapabilities(words: readonly string[]): string {
  const wrong = words.find((word) => word === '' || word.startsWith('=') || /[\x00-\x20\x7f]/.test(word));
  if (wrong !== undefined) throw new Fault('internal', 'capability is not one word', { context: { word: wrong } });
  return words.join(' ');
}

/** The last value of `name`, as git takes it; undefined where it is absent or has none. */
export function capabilityValue(capabilities: Capabilities, name: string): string | undefined {
  return capabilities.get(name)?.at(-1);
}
