/** `signingkey ...`: keys that sign one's commits, tags and pushes; with `as NAME`, an administrator's hand on another's. */
import { refuse } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import type { SigningKey } from '../identity/signing-keys.ts';
import { done, type Answer, type Call, type Command, type SiteCommand } from './command.ts';
import { givenKey, ownName } from './own.ts';
import { table } from './table.ts';

const SITE_COMMANDS: readonly SiteCommand[] = [
  {
    form: 'signingkey add TAG',
    summary: 'Add a key that signs commits, tags and pushes (SSH or OpenPGP); login keys sign without this',
    stdin: 'the public key: one line as in ~/.ssh/id_ed25519.pub, or what gpg --armor --export prints',
    examples: [
      'signingkey add laptop < ~/.ssh/id_signing.pub',
      'signingkey add gpg < alice.asc',
      'as ian signingkey add laptop < ian.pub',
    ],
    scope: 'admin',
    permission: { kind: 'site', action: 'signingkey', variables: { keytag: 'TAG' } },
    run: addKey,
  },
  {
    form: 'signingkey del TAG',
    summary: 'Delete a signing key: what it signs from now on does not count, nor what it signed and nobody pushed yet',
    examples: ['signingkey del old-laptop'],
    scope: 'admin',
    permission: { kind: 'site', action: 'signingkey', variables: { keytag: 'TAG' } },
    async run(call) {
      const user = ownName(call);
      if (user === undefined) return NOBODY;
      const tag = call.args.text('TAG');
      const gone = await call.parts.directory.signingKeys.del({ user, tag });
      if (gone.kind === 'refused') return gone;
      return done({ deleted: tag }, `deleted the signing key ${tag} of ${user}\n`);
    },
  },
  {
    form: 'signingkey list',
    summary: 'List signing keys',
    examples: ['signingkey list'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'signingkey' },
    async run(call) {
      const user = ownName(call);
      if (user === undefined) return NOBODY;
      const keys = await call.parts.directory.signingKeys.list(user);
      const rows = keys.map((key) => [key.tag, key.type, key.fingerprint, key.comment]);
      return done(keys.map(keyJson), table(rows));
    },
  },
];

export const SIGNING_KEY_COMMANDS: readonly Command[] = SITE_COMMANDS;

const NOBODY = refuse('anonymous has no signing keys');

async function addKey(call: Call): Promise<Answer> {
  const given = await givenKey(call, NOBODY);
  if (given.kind !== 'given') return given;
  const added = await call.parts.directory.signingKeys.add(given);
  if (added.kind === 'refused') return added;
  const { tag, fingerprint } = added.value;
  return done(keyJson(added.value), `added the signing key ${tag} of ${given.user}: ${fingerprint}\n`);
}

function keyJson({ tag, format, type, fingerprint, comment, addedAt }: SigningKey): Json {
  return { tag, format, type, fingerprint, comment, addedAt: new Date(addedAt).toISOString() };
}
