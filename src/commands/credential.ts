/** `sshkey ...` and `token ...`: one's own keys and tokens; with `as NAME`, an administrator's hand on another's. */
import { refuse } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import type { Key } from '../identity/keys.ts';
import type { Token } from '../identity/tokens.ts';
import { done, type Answer, type Call, type SiteCommand } from './command.ts';
import { givenKey, ownName } from './own.ts';
import { shortTime, table } from './table.ts';

const SCOPE = {
  name: '--scope',
  value: 'read|write|admin',
  repeat: true,
  meaning: 'what the token reaches; default: write (clone, fetch, push, create)',
} as const;

export const CREDENTIAL_COMMANDS: readonly SiteCommand[] = [
  {
    form: 'sshkey add TAG',
    summary: 'Add an SSH key',
    stdin: 'the public key, one line as in ~/.ssh/id_ed25519.pub',
    examples: ['sshkey add laptop < ~/.ssh/id_ed25519.pub', 'as ian sshkey add laptop < ian.pub'],
    scope: 'admin',
    permission: { kind: 'site', action: 'sshkey', variables: { keytag: 'TAG' } },
    run: addKey,
  },
  {
    form: 'sshkey del TAG',
    summary: 'Delete an SSH key; the key in use stays',
    examples: ['sshkey del old-laptop'],
    scope: 'admin',
    permission: { kind: 'site', action: 'sshkey', variables: { keytag: 'TAG' } },
    run: deleteKey,
  },
  {
    form: 'sshkey list',
    summary: 'List SSH keys',
    examples: ['sshkey list'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'sshkey' },
    async run(call) {
      const user = ownName(call);
      if (user === undefined) return NOBODY;
      const keys = await call.parts.directory.keys.list(user);
      const rows = keys.map((key) => [key.tag, key.type, key.fingerprint, lastUse(key.lastUsedAt), key.comment]);
      return done(keys.map(keyJson), table(rows));
    },
  },
  {
    form: 'token create NAME',
    summary: 'Make a token for HTTP and the API; its secret is shown this once',
    flags: [SCOPE, { name: '--expires', value: '30d', meaning: 'how long it lives; default: until it is revoked' }],
    examples: ['token create laptop', 'token create ci --scope read --expires 90d'],
    scope: 'admin',
    permission: { kind: 'site', action: 'token' },
    run: createToken,
  },
  {
    form: 'token list',
    summary: 'List tokens, without their secrets',
    examples: ['token list'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'token' },
    async run(call) {
      const user = ownName(call);
      if (user === undefined) return NOBODY;
      const tokens = await call.parts.directory.tokens.list(user);
      const rows = tokens.map((token) => [token.name, token.scopes.join(','), endOf(token), lastUse(token.lastUsedAt)]);
      return done(tokens.map(tokenJson), table(rows));
    },
  },
  {
    form: 'token revoke NAME',
    summary: 'End a token at once',
    examples: ['token revoke laptop'],
    scope: 'admin',
    permission: { kind: 'site', action: 'token' },
    async run(call) {
      const user = ownName(call);
      const name = call.args.text('NAME');
      if (user === undefined) return NOBODY;
      const gone = await call.parts.directory.tokens.revoke({ user, name });
      return gone.kind === 'refused' ? gone : done({ revoked: name }, `revoked the token ${name}\n`);
    },
  },
];

const NOBODY = refuse('anonymous has neither keys nor tokens');

async function addKey(call: Call): Promise<Answer> {
  const given = await givenKey(call, NOBODY);
  if (given.kind !== 'given') return given;
  const added = await call.parts.directory.keys.add(given);
  if (added.kind === 'refused') return added;
  return done(keyJson(added.value), `added the key ${added.value.tag} of ${given.user}: ${added.value.fingerprint}\n`);
}

async function deleteKey(call: Call): Promise<Answer> {
  const user = ownName(call);
  if (user === undefined || call.principal.kind !== 'user') return NOBODY;
  const tag = call.args.text('TAG');
  const { credential } = call.principal;
  const inUse = credential.kind === 'key' ? { inUseFingerprint: credential.fingerprint } : {};
  const gone = await call.parts.directory.keys.del({ user, tag, ...inUse });
  return gone.kind === 'refused' ? gone : done({ deleted: tag }, `deleted the key ${tag} of ${user}\n`);
}

async function createToken(call: Call): Promise<Answer> {
  const user = ownName(call);
  if (user === undefined) return NOBODY;
  const scopes = call.args.values('--scope').flatMap((value) => value.split(','));
  const expires = call.args.value('--expires');
  const made = await call.parts.directory.tokens.create({
    user,
    name: call.args.text('NAME'),
    ...(scopes.length === 0 ? {} : { scopes }),
    ...(expires === undefined ? {} : { expires }),
  });
  if (made.kind === 'refused') return made;
  const { token, secret } = made.value;
  const json = { name: token.name, scopes: token.scopes, expiresAt: isoOf(token.expiresAt), secret };
  const note = `the token ${token.name} of ${user} (${token.scopes.join(', ')}; ${endOf(token)}); it is shown only now:`;
  return done(json, `${note}\n${secret}\n`);
}

function keyJson({ tag, type, bits, fingerprint, comment, addedAt, lastUsedAt }: Key): Json {
  return { tag, type, bits, fingerprint, comment, addedAt: isoOf(addedAt), lastUsedAt: isoOf(lastUsedAt) };
}

function tokenJson({ name, scopes, createdAt, expiresAt, lastUsedAt, expired }: Token): Json {
  const times = { createdAt: isoOf(createdAt), expiresAt: isoOf(expiresAt), lastUsedAt: isoOf(lastUsedAt) };
  return { name, scopes, ...times, expired };
}

function isoOf(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}

function lastUse(ms: number | undefined): string {
  return ms === undefined ? 'never used' : `used ${shortTime(ms)}`;
}

function endOf(token: Token): string {
  if (token.expiresAt === undefined) return 'until it is revoked';
  return `${token.expired ? 'expired' : 'until'} ${shortTime(token.expiresAt)}`;
}
