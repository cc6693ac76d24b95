/**
 * What `mirror add` and `mirror set` are told: flags read, secrets fetched from standard input or from a file of the local
 * command line, never from the words themselves, which stand in process lists and in the journal.
 */
import { open } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { formatDuration, parseDuration } from '../base/units.ts';
import { parseCredential } from '../upstream/credential.ts';
import { parseHostKey } from '../upstream/host-key.ts';
import { CREDENTIAL_KINDS, type CredentialKind } from '../upstream/mirror-record.ts';
import { parseRefPatterns } from '../upstream/ref-plan.ts';
import type { UpstreamCredential, UpstreamUrl } from '../upstream/upstream.ts';
import type { Call, Flag } from './command.ts';

/** Flags whose value is a file, or `-` for standard input. */
export const FILE_FLAGS = ['--key', '--token', '--certificate', '--ca'] as const;
/** Of these, those that hold a secret: what is typed there by mistake does not stand in the journal. */
export const SECRET_FLAGS = ['--key', '--token', '--certificate'] as const;

export const UPSTREAM_FLAGS: readonly Flag[] = [
  { name: '--key', value: 'FILE|-', meaning: 'ssh: the private key, without a passphrase' },
  { name: '--token', value: 'FILE|-', meaning: 'https: the token or password' },
  { name: '--user', value: 'NAME', meaning: 'https: who the token belongs to, where the host asks; default: git' },
  { name: '--bearer', meaning: 'https: show the token as Bearer instead of Basic' },
  { name: '--certificate', value: 'FILE|-', meaning: 'https: client certificate and its private key, PEM' },
  { name: '--ca', value: 'FILE|-', meaning: "https: the only authorities to trust, PEM; default: the system's" },
  {
    name: '--host-key',
    value: 'KEY',
    repeat: true,
    meaning: "ssh: the host's public key, 'ssh-ed25519 AAAA...' or a line of known_hosts",
  },
  {
    name: '--fresh',
    value: '30s',
    meaning: 'how long what was fetched may be served without asking the upstream; default: 0s, ask at each fetch',
  },
  {
    name: '--refs',
    value: 'PATTERN',
    repeat: true,
    meaning: 'refs to mirror; default: refs/heads/* and refs/tags/*',
  },
];

/** What a mirror does with pushes. */
export const PUSH_FLAGS: readonly Flag[] = [
  { name: '--read-only', meaning: 'take no pushes' },
  { name: '--allow-partial', meaning: 'take pushes of several refs where the upstream cannot take them all or none' },
];

/** What of an upstream the flags say; absent: they say nothing of it. */
export interface UpstreamOptions {
  readonly credential?: UpstreamCredential;
  readonly authorities?: string;
  readonly hostKeys?: readonly string[];
  readonly freshMs?: number;
  readonly refs?: readonly string[];
}

export async function readUpstreamOptions(call: Call, url: UpstreamUrl): Promise<Parsed<UpstreamOptions>> {
  const plain = readPlain(call, url);
  if (plain.kind === 'refused') return plain;
  const texts = await readFileFlags(call, FILE_FLAGS);
  if (texts.kind === 'refused') return texts;
  const credential = readCredentialFlag(call, texts.value, url);
  if (credential.kind === 'refused') return credential;
  const ca = texts.value.get('--ca');
  const authorities = ca === undefined ? ok(undefined) : authoritiesIn('--ca', ca);
  if (authorities.kind === 'refused') return authorities;
  return ok({
    ...plain.value,
    ...(credential.value === undefined ? {} : { credential: credential.value }),
    ...(authorities.value === undefined ? {} : { authorities: authorities.value }),
  });
}

function readPlain(call: Call, url: UpstreamUrl): Parsed<UpstreamOptions> {
  const { args } = call;
  const hostKeys: string[] = [];
  if (args.values('--host-key').length > BOUNDS.mirrorHostKeysMax)
    return refuse(`a mirror has at most ${BOUNDS.mirrorHostKeysMax} host keys`);
  for (const text of args.values('--host-key')) {
    const key = parseHostKey(text, url);
    if (key.kind === 'refused') return key;
    hostKeys.push(key.value);
  }
  const fresh = args.value('--fresh');
  const freshMs = fresh === undefined ? ok(undefined) : parseFresh(fresh);
  if (freshMs.kind === 'refused') return freshMs;
  const patterns = args.values('--refs');
  const refs = parseRefPatterns(patterns);
  if (refs.kind === 'refused') return refs;
  return ok({
    ...(hostKeys.length === 0 ? {} : { hostKeys }),
    ...(freshMs.value === undefined ? {} : { freshMs: freshMs.value }),
    ...(patterns.length === 0 ? {} : { refs: refs.value }),
  });
}

/** `30s`, `5m`; a bare number is seconds. */
function parseFresh(text: string): Parsed<number> {
  const parsed = parseDuration(/^\d+$/.test(text) ? `${text}s` : text);
  if (parsed.kind === 'refused') return refuse(`--fresh: ${parsed.reason}`);
  return parsed.value > BOUNDS.mirrorFreshMsMax
    ? refuse(`--fresh is at most ${formatDuration(BOUNDS.mirrorFreshMsMax)}`)
    : parsed;
}

/** The texts behind the flags that name a file; at most one of them is standard input. */
export async function readFileFlags(
  call: Call,
  flags: readonly string[],
): Promise<Parsed<ReadonlyMap<string, string>>> {
  const given = flags.flatMap((flag) => {
    const value = call.args.value(flag);
    return value === undefined ? [] : [{ flag, value }];
  });
  const fromInput = given.filter(({ value }) => value === '-').map(({ flag }) => flag);
  if (fromInput.length > 1) return refuse(`only one of ${fromInput.join(' and ')} can be standard input`);
  const texts = new Map<string, string>();
  for (const { flag, value } of given) {
    const text = value === '-' ? await readInput(call) : await readLocalFile(call, { flag, path: value });
    if (text.kind === 'refused') return text;
    texts.set(flag, text.value);
  }
  return ok(texts);
}

async function readInput(call: Call): Promise<Parsed<string>> {
  const read = await call.readStdin();
  if ('kind' in read) return read;
  return ok(Buffer.from(read).toString('utf8'));
}

/** A file of this machine: only for who stands at it. */
async function readLocalFile(
  call: Call,
  about: { readonly flag: string; readonly path: string },
): Promise<Parsed<string>> {
  const { flag, path } = about;
  if (call.origin.transport !== 'local' || !isAbsolute(path)) {
    return refuse(`${flag} names a file on the local command line only; elsewhere: ${flag} -, and send it as input`);
  }
  try {
    await using file = await open(path, 'r');
    const stat = await file.stat();
    if (!stat.isFile()) return refuse(`${flag} names no file`);
    if (stat.size > BOUNDS.upstreamFileBytesMax) return refuse(`the file of ${flag} is too large`);
    return ok(await file.readFile('utf8'));
  } catch (error) {
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'an error';
    // The path is not repeated: it may be a secret that was typed in its place.
    return refuse(`the file of ${flag} cannot be read (${code}); the gate's account has to be able to`);
  }
}

function readCredentialFlag(
  call: Call,
  texts: ReadonlyMap<string, string>,
  url: UpstreamUrl,
): Parsed<UpstreamCredential | undefined> {
  const given = CREDENTIAL_KINDS.flatMap((kind) => {
    const text = texts.get(`--${kind}`);
    return text === undefined ? [] : [{ kind, text }];
  });
  const [first, second] = given;
  if (second !== undefined) return refuse('one credential for one upstream: --key, --token or --certificate');
  const username = call.args.value('--user');
  const isToken = first?.kind === ('token' satisfies CredentialKind);
  if (!isToken && (username !== undefined || call.args.has('--bearer')))
    return refuse('--user and --bearer go with --token');
  if (first === undefined) return ok(undefined);
  return parseCredential({ ...first, username, bearer: call.args.has('--bearer') }, url.scheme);
}

/** The certificates in PEM behind a flag. */
export function authoritiesIn(flag: string, text: string): Parsed<string> {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g);
  if (blocks === null || text.length > BOUNDS.upstreamFileBytesMax) return refuse(`${flag} takes certificates in PEM`);
  return ok(blocks.map((block) => `${block}\n`).join(''));
}
