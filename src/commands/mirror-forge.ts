/** What `mirror add` may ask a forge for, and `mirror sweep`, which finds what is left of it. */
import { ok, refuse, type Parsed } from '../base/fault.ts';
import type { ForgeDesk } from '../upstream/forges/forge-desk.ts';
import { parseForgePlace } from '../upstream/forges/forge.ts';
import { parseForgeToken } from '../upstream/forges/forge-tokens.ts';
import { describeGrant } from '../upstream/forges/grant-record.ts';
import type { ForgeWish } from '../upstream/forges/provision.ts';
import type { UpstreamUrl } from '../upstream/upstream.ts';
import type { Answer, Call, Flag, SiteCommand } from './command.ts';
import { authoritiesIn, FILE_FLAGS, readFileFlags } from './mirror-options.ts';
import { count } from './table.ts';

/** What the commands ask of it (`upstream/forges/forge-desk.ts`). */
export type ForgeIndex = Pick<ForgeDesk, 'makeKey' | 'makeHook' | 'list' | 'verify' | 'revokeOf' | 'sweep'>;

export const TOKEN_FLAG: Flag = {
  name: '--forge-token',
  value: 'FILE|-',
  meaning: "the token that makes and revokes at the forge, sealed; default: the gate's GATEHOUSE_FORGE_TOKEN",
};

export const FORGE_FLAGS: readonly Flag[] = [
  { name: '--forge', value: 'gitea|github|gitlab', meaning: 'whose API the upstream has (Forgejo: gitea)' },
  { name: '--forge-url', value: 'URL', meaning: "the forge's address; default: https:// and the upstream's host" },
  { name: '--forge-project', value: 'OWNER/REPO', meaning: "the project there; default: the upstream's path" },
  TOKEN_FLAG,
  { name: '--forge-ca', value: 'FILE|-', meaning: "the only authorities to trust for it, PEM; default: the system's" },
  { name: '--deploy-key', meaning: 'make a deploy key there as the credential; it only reads, and so does the mirror' },
  { name: '--write', meaning: 'with --deploy-key: one that may push' },
  { name: '--webhook', meaning: 'make a webhook there, so that --fresh need not be short' },
];

const FORGE_FILE_FLAGS = ['--forge-token', '--forge-ca'] as const;

/** What is to be made at the forge; undefined: nothing. */
export async function readForgeWish(call: Call, url: UpstreamUrl): Promise<Parsed<ForgeWish | undefined>> {
  const { args } = call;
  const kind = args.value('--forge');
  if (kind === undefined) {
    const stray = FORGE_FLAGS.find(({ name }) => name !== '--forge' && args.has(name));
    return stray === undefined ? ok(undefined) : refuse(`${stray.name} goes with --forge gitea, github or gitlab`);
  }
  const problem = misfit(call, url);
  if (problem !== undefined) return refuse(problem);
  const files = await readFileFlags(call, FORGE_FILE_FLAGS);
  if (files.kind === 'refused') return files;
  const token = optional(files.value.get('--forge-token'), parseForgeToken);
  if (token.kind === 'refused') return refuse(`--forge-token: ${token.reason}`);
  const authorities = optional(files.value.get('--forge-ca'), (text) => authoritiesIn('--forge-ca', text));
  if (authorities.kind === 'refused') return authorities;
  const place = parseForgePlace(
    { kind, url: args.value('--forge-url'), project: args.value('--forge-project'), authorities: authorities.value },
    url,
  );
  if (place.kind === 'refused') return place;
  const hookUrl = args.has('--webhook') ? hookUrlOf(call) : ok(undefined);
  if (hookUrl.kind === 'refused') return hookUrl;
  return ok({
    place: place.value,
    token: token.value,
    key: args.has('--deploy-key') ? { mayWrite: args.has('--write') } : undefined,
    hookUrl: hookUrl.value,
  });
}

function misfit({ args }: Call, { scheme }: UpstreamUrl): string | undefined {
  const isKey = args.has('--deploy-key');
  if (!isKey && !args.has('--webhook')) return '--forge goes with --deploy-key, --webhook, or both';
  if (args.has('--write') && !isKey) return '--write goes with --deploy-key';
  if (args.has('--write') && args.has('--read-only')) return '--write and --read-only are contraries';
  if (isKey && scheme !== 'ssh') return 'a deploy key is for an upstream over ssh';
  if (isKey && args.has('--key')) return 'either --deploy-key or --key';
  const inputs = [...FILE_FLAGS, ...FORGE_FILE_FLAGS].filter((flag) => args.value(flag) === '-');
  return inputs.length > 1 ? `only one of ${inputs.join(' and ')} can be standard input` : undefined;
}

/** Where forges reach this gate. */
function hookUrlOf(call: Call): Parsed<(id: string) => string> {
  const { http } = call.parts.urls();
  if (http === undefined) return refuse('a webhook needs the http door: start the gate with it, or set urls.http');
  return ok((id) => `${http}/api/v1/hooks/${id}`);
}

function optional<T>(text: string | undefined, parse: (text: string) => Parsed<T>): Parsed<T | undefined> {
  return text === undefined ? ok(undefined) : parse(text);
}

export const MIRROR_SWEEP: SiteCommand = {
  form: 'mirror sweep',
  summary: 'Revoke deploy keys and webhooks at forges whose mirror is gone',
  details: [
    'A crash, or a forge that did not answer, may leave something there. Each is on record here and is looked for there.',
  ],
  flags: [{ name: '--dry-run', meaning: 'only list them' }, TOKEN_FLAG],
  stdin: 'with --forge-token -, the token',
  examples: ['mirror sweep --dry-run', 'mirror sweep'],
  scope: 'admin',
  secrets: ['--forge-token'],
  permission: { kind: 'site', action: 'mirrorsweep' },
  run: sweep,
};

async function sweep(call: Call): Promise<Answer> {
  const { forges } = call.parts;
  if (forges === undefined) return refuse('this gate has no mirrors');
  const token = await readForgeToken(call);
  if (token.kind === 'refused') return token;
  const isDryRun = call.args.has('--dry-run');
  const swept = await forges.sweep({ isDryRun, signal: call.signal, token: token.value });
  const lines = swept.map(({ what, outcome, problem }) => `${WORDS[outcome]}: ${problem ?? what}\n`);
  const text = swept.length === 0 ? 'nothing is left at any forge\n' : lines.join('');
  const failed = swept.some(({ outcome }) => outcome === 'failed');
  return { kind: 'done', json: swept.map((one) => ({ ...one })), text, exit: failed ? 1 : 0 };
}

/** The token of `--forge-token`, in place of the one that made what is to be revoked. */
export async function readForgeToken(call: Call): Promise<Parsed<string | undefined>> {
  const files = await readFileFlags(call, ['--forge-token']);
  if (files.kind === 'refused') return files;
  const token = optional(files.value.get('--forge-token'), parseForgeToken);
  return token.kind === 'refused' ? refuse(`--forge-token: ${token.reason}`) : token;
}

const WORDS = { found: 'left', revoked: 'revoked', none: 'was gone', failed: 'FAILED' } as const;

/** Takes away at the forge what a mirror that was removed had there. */
export async function revokeOf(
  call: Call,
  repositoryId: string,
  token?: string,
): Promise<{ readonly text: string; readonly exit: 0 | 1 }> {
  const { forges } = call.parts;
  if (forges === undefined) return { text: '', exit: 0 };
  const { revoked, problems } = await forges.revokeOf(repositoryId, { signal: call.signal, token });
  const tail = problems.length === 0 ? [] : [`${count(problems.length, 'thing')} left there: mirror sweep tries again`];
  const lines = [...revoked.map((what) => `revoked the ${what}`), ...problems, ...tail];
  return { text: lines.map((line) => `${line}\n`).join(''), exit: problems.length === 0 ? 0 : 1 };
}

/** What a mirror has at its forge, and whether it is still there: for `mirror check`. */
export async function checkGrants(
  call: Call,
  repositoryId: string,
): Promise<{ readonly rows: readonly (readonly [string, string])[]; readonly isGood: boolean }> {
  const { forges } = call.parts;
  const rows: [string, string][] = [];
  let isGood = true;
  for (const grant of (await forges?.list(repositoryId)) ?? []) {
    const problem = await forges?.verify(grant, { signal: call.signal });
    if (problem !== undefined) isGood = false;
    rows.push([grant.what === 'key' ? 'deploy key' : 'webhook', problem ?? `${describeGrant(grant)}: there`]);
  }
  return { rows, isGood };
}
