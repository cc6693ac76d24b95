/**
 * The first thing upload-pack says (gitprotocol-pack, "Reference Discovery"; gitprotocol-v2, "Capability
 * Advertisement"), encoded from a view; `encoded.ts` keeps it with that.
 */
import { AGENT } from '../base/version.ts';
import { type ObjectFormat, zeroOid } from '../git/oid.ts';
import { FLUSH, encodePkt, pktHeader } from '../git/pkt-line.ts';
import type { Encodable } from './encoded.ts';
import type { View } from './view.ts';

/** Bytes of one encoded piece: a long list is never one string. */
const PIECE_BYTES = 64 * 1024;

/** In git's own order (upload-pack.c). */
const V0_CAPABILITIES = [
  'multi_ack',
  'thin-pack',
  'side-band',
  'side-band-64k',
  'ofs-delta',
  'shallow',
  'deepen-since',
  'deepen-not',
  'deepen-relative',
  'no-progress',
  'include-tag',
  'multi_ack_detailed',
  // Any object that a readable ref leads to is served, so a client may ask for it; `Admission` is what refuses.
  'allow-tip-sha1-in-want',
  'allow-reachable-sha1-in-want',
] as const;

export interface V0Advertisement {
  readonly view: View;
  readonly objectFormat: ObjectFormat;
  readonly protocol: 0 | 1;
  /** What follows is another connection (HTTP): `no-done` saves a round there. */
  readonly stateless: boolean;
  /** Where the repository itself is shallow: its boundary. */
  readonly shallow: readonly string[];
}

/** A v0 or v1 advertisement with the closing flush, without the `# service` line of HTTP. */
export function advertisementV0(options: V0Advertisement): Encodable {
  const { protocol, stateless, shallow } = options;
  const key = `upload/v${protocol}${stateless ? '-stateless' : ''} ${shallow.join(' ')}`;
  return { key, encode: () => inPieces(linesV0(options)) };
}

function* linesV0({ view, objectFormat, protocol, stateless, shallow }: V0Advertisement): Generator<string> {
  if (protocol === 1) yield line('version 1\n');
  let capabilities = `\0${capabilitiesV0({ view, objectFormat, stateless })}`;
  const shown = (oid: string, name: string): string => {
    const text = line(`${oid} ${name}${capabilities}\n`);
    capabilities = '';
    return text;
  };
  if (view.head?.oid !== undefined) yield shown(view.head.oid, 'HEAD');
  for (const ref of view.refs) {
    yield shown(ref.oid, ref.refname);
    if (ref.peeled !== undefined) yield shown(ref.peeled, `${ref.refname}^{}`);
  }
  // Without it a client could not learn the object format of an empty repository.
  if (capabilities !== '') yield shown(zeroOid(objectFormat), 'capabilities^{}');
  for (const oid of shallow) yield line(`shallow ${oid}`);
  yield FLUSH.toString('latin1');
}

function capabilitiesV0(options: Pick<V0Advertisement, 'view' | 'objectFormat' | 'stateless'>): string {
  const { view, objectFormat, stateless } = options;
  const words: string[] = V0_CAPABILITIES.filter((word) => word !== 'include-tag' || !view.hidesTags);
  if (stateless) words.push('no-done');
  const { head } = view;
  if (head?.oid !== undefined && head.target !== undefined) words.push(`symref=HEAD:${head.target}`);
  words.push('filter', `object-format=${objectFormat}`, `agent=${AGENT}`);
  return words.join(' ');
}

/** The v2 capability advertisement: the same for every view. object-info is not offered, bundle-uri where `hasBundle`. */
export function advertisementV2(objectFormat: ObjectFormat, hasBundle = false): Buffer {
  return (hasBundle ? ADVERTISEMENTS_V2_BUNDLE : ADVERTISEMENTS_V2)[objectFormat];
}

function encodeV2(objectFormat: ObjectFormat, more: readonly string[] = []): Buffer {
  const lines = [
    'version 2',
    `agent=${AGENT}`,
    'ls-refs=unborn',
    'fetch=shallow wait-for-done filter',
    'server-option',
    `object-format=${objectFormat}`,
    ...more,
  ];
  return Buffer.concat([...lines.map((text) => encodePkt(`${text}\n`)), FLUSH]);
}

const ADVERTISEMENTS_V2: Readonly<Record<ObjectFormat, Buffer>> = {
  sha1: encodeV2('sha1'),
  sha256: encodeV2('sha256'),
};
const ADVERTISEMENTS_V2_BUNDLE: Readonly<Record<ObjectFormat, Buffer>> = {
  sha1: encodeV2('sha1', ['bundle-uri']),
  sha256: encodeV2('sha256', ['bundle-uri']),
};

/** What HTTP puts in front of a v0 or v1 advertisement (gitprotocol-http, "Smart Server Response"). */
export function serviceHeader(service: string): Buffer {
  return Buffer.concat([encodePkt(`# service=git-${service}\n`), FLUSH]);
}

/** One pkt-line as text, to be encoded as UTF-8 with its neighbours. */
export function line(text: string): string {
  return pktHeader(Buffer.byteLength(text)) + text;
}

/** Joins pkts into pieces of about 64 KiB. */
export function* inPieces(lines: Iterable<string>): Generator<Buffer> {
  let text = '';
  for (const next of lines) {
    text += next;
    if (text.length < PIECE_BYTES) continue;
    yield Buffer.from(text);
    text = '';
  }
  if (text !== '') yield Buffer.from(text);
}
