/**
 * The ref and capability advertisement of receive-pack (gitprotocol-pack, "Reference Discovery"). Protocol v2 has no
 * push: who asks for it gets v0, as from git. Every value is taken from the ref cache: no process, no disk.
 */
import type { ObjectFormat } from '../git/oid.ts';
import { zeroOid } from '../git/oid.ts';
import { encodePkt, FLUSH } from '../git/pkt-line.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import { isInternalRefname } from '../git/refname.ts';

export interface AdvertisementOptions {
  readonly snapshot: RefSnapshot;
  readonly format: ObjectFormat;
  readonly protocol: 0 | 1 | 2;
  /** `gatehouse/0.1.0`. */
  readonly agent: string;
  /** Which refs the principal may see; undefined: all but the gate's own. */
  readonly mayRead: ((refname: string) => boolean) | undefined;
  /** Of a push certificate; undefined: signed pushes are not offered. */
  readonly nonce?: string | undefined;
}

/** The advertisement, its flush included. The one that everybody sees is encoded once for each snapshot. */
export function encodeAdvertisement(options: AdvertisementOptions): Buffer {
  const { snapshot, protocol, mayRead, nonce } = options;
  if (mayRead !== undefined || nonce !== undefined) return encode(options, protocol === 1);
  const key = `receive-pack/${protocol === 1 ? 1 : 0}/${options.agent}`;
  const known = snapshot.memo.get(key);
  if (Buffer.isBuffer(known)) return known;
  const encoded = encode(options, protocol === 1);
  snapshot.memo.set(key, encoded);
  return encoded;
}

/** What `GET info/refs` has in front (gitprotocol-http, "Smart Server Response"). */
export function serviceHeader(): Buffer {
  return Buffer.concat([encodePkt('# service=git-receive-pack\n'), FLUSH]);
}

function encode({ snapshot, format, agent, mayRead, nonce }: AdvertisementOptions, isVersion1: boolean): Buffer {
  const pkts: Buffer[] = isVersion1 ? [encodePkt('version 1\n')] : [];
  const capabilities = `report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta push-options object-format=${format} agent=${agent}`;
  // Who may not read everything could learn of hidden objects by deltas of them.
  const thin = mayRead === undefined ? '' : ' no-thin';
  let suffix = `\0${capabilities}${thin}${nonce === undefined ? '' : ` push-cert=${nonce}`}\n`;
  for (const { refname, oid } of snapshot.refs) {
    if (isInternalRefname(refname) || mayRead?.(refname) === false) continue;
    pkts.push(encodePkt(`${oid} ${refname}${suffix}`));
    suffix = '\n';
  }
  if (suffix !== '\n') pkts.push(encodePkt(`${zeroOid(format)} capabilities^{}${suffix}`));
  pkts.push(FLUSH);
  return Buffer.concat(pkts);
}
