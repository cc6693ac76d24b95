/** The refs of an upstream: v2's ls-refs (gitprotocol-v2, "ls-refs"), or what v0 said unasked. */
import { BOUNDS } from '../../base/bounds.ts';
import { parseOid, type Oid } from '../../git/oid.ts';
import { DELIM, encodePkt, FLUSH, pktText } from '../../git/pkt-line.ts';
import { parseRefname } from '../../git/refname.ts';
import { AGENT } from '../../base/version.ts';
import type { Call } from './call.ts';
import { addRef, type GreetingV2 } from './greeting.ts';
import type { Incoming } from './incoming.ts';
import type { RemoteRefs } from './remote.ts';
import type { Session } from './session.ts';

const SYMREF = 'symref-target:';

/** Refs that start with one of `prefixes` (none: all), and HEAD. @throws Fault as `Remote` says. */
export async function listRefs(session: Session, call: Call, prefixes: readonly string[]): Promise<RemoteRefs> {
  const { expected } = session;
  // Asked before the greeting is heard, the refs are a round trip nearer (not at OpenSSH, which takes no input before the command runs).
  const early = expected && (await session.request([lsRefsRequest(expected, prefixes, call)]));
  const greeting = await session.greeting();
  if (greeting.kind === 'v2') {
    const incoming = early ?? (await session.request([lsRefsRequest(greeting, prefixes, call)]));
    return readRefs({ incoming, call, greeting, prefixes });
  }
  const refs = new Map([...greeting.refs].filter(([name]) => isAsked(name, prefixes)));
  return { refs, head: greeting.head, objectFormat: greeting.objectFormat };
}

/** The lines that every command of v2 starts with. @throws Fault `upstream` where the server does not know `command`. */
export function v2Command(command: 'ls-refs' | 'fetch', greeting: GreetingV2, call: Call): readonly Buffer[] {
  const { capabilities, objectFormat } = greeting;
  if (!capabilities.has(command)) throw call.words.broke(`it does not know ${command}`);
  const lines = [encodePkt(`command=${command}\n`)];
  if (capabilities.has('agent')) lines.push(encodePkt(`agent=${AGENT}\n`));
  if (capabilities.has('object-format')) lines.push(encodePkt(`object-format=${objectFormat}\n`));
  return [...lines, DELIM];
}

function lsRefsRequest(greeting: GreetingV2, prefixes: readonly string[], call: Call): Buffer {
  const lines = [...v2Command('ls-refs', greeting, call), encodePkt('symrefs\n')];
  if (greeting.capabilities.get('ls-refs')?.split(' ').includes('unborn') === true) lines.push(encodePkt('unborn\n'));
  // More than that and the server would answer with all refs anyway; what comes too much is left out below.
  if (prefixes.length > 0 && prefixes.length < BOUNDS.refPrefixesMax) {
    for (const prefix of ['HEAD', ...prefixes]) lines.push(encodePkt(`ref-prefix ${prefix}\n`));
  }
  return Buffer.concat([...lines, FLUSH]);
}

interface Reading {
  readonly incoming: Incoming;
  readonly call: Call;
  readonly greeting: GreetingV2;
  readonly prefixes: readonly string[];
}

async function readRefs({ incoming, call, greeting, prefixes }: Reading): Promise<RemoteRefs> {
  const { words, limits } = call;
  const { objectFormat } = greeting;
  const refs = new Map<string, Oid>();
  const start = incoming.bytesRead;
  let head: string | undefined;
  for (;;) {
    const pkt = await incoming.expect();
    if (pkt.kind === 'flush') return { refs, head, objectFormat };
    if (pkt.kind !== 'data') throw words.broke('a malformed list of refs');
    if (incoming.bytesRead - start > limits.refsBytesMax) throw words.broke('its list of refs is too long');
    // `OID NAME ATTRIBUTE...`, or `unborn NAME ...`; unknown attributes are for others.
    const [word = '', name = '', ...attributes] = pktText(pkt.payload).split(' ');
    const target = attributes.find((attribute) => attribute.startsWith(SYMREF))?.slice(SYMREF.length);
    const oid = parseOid(word, objectFormat);
    if (oid === undefined && word !== 'unborn') throw words.broke(`"${word.slice(0, 80)}" is no object id`);
    if (name === 'HEAD') head = target === undefined ? undefined : parseRefname(target);
    else if (oid !== undefined && isAsked(name, prefixes)) addRef({ refs, name, oid, call });
  }
}

/** Servers may answer with more than was asked for (gitprotocol-v2, "ref-prefix"). */
function isAsked(name: string, prefixes: readonly string[]): boolean {
  return prefixes.length === 0 || prefixes.some((prefix) => name.startsWith(prefix));
}
