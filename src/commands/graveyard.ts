/** `graveyard ...`: destroyed repositories, which an administrator may bring back or bury for good. */
import { refuse, type Parsed } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import { parseRequestedName } from '../repository/name.ts';
import type { Buried } from '../repository/record.ts';
import { done, type Answer, type Call, type SiteCommand } from './command.ts';
import { confirm } from './confirm.ts';
import { shown } from './find.ts';
import { revokeOf } from './mirror-forge.ts';
import { shortTime, table } from './table.ts';

export const GRAVEYARD_COMMANDS: readonly SiteCommand[] = [
  {
    form: 'graveyard list',
    summary: 'List destroyed repositories',
    examples: ['graveyard list'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'graveyard_list' },
    async run({ parts }) {
      const graves = await allGraves(parts);
      const rows = graves.map((grave) => [grave.id, grave.name, grave.owner, shortTime(grave.destroyedAt)]);
      return done(graves.map(graveJson), table(rows));
    },
  },
  {
    form: 'graveyard restore GRAVE [NAME]',
    summary: 'Bring a destroyed repository back, under its old name or another',
    details: ['GRAVE is an id from `graveyard list`, or a name where only one destroyed repository had it.'],
    examples: ['graveyard restore hello', 'graveyard restore hello hello-again'],
    scope: 'admin',
    permission: { kind: 'site', action: 'graveyard_restore' },
    run: restore,
  },
  {
    form: 'graveyard purge GRAVE [TOKEN]',
    summary: 'Delete a destroyed repository for good',
    examples: ['graveyard purge hello', 'graveyard purge hello 5f1c...'],
    scope: 'admin',
    permission: { kind: 'site', action: 'graveyard_purge' },
    secrets: ['TOKEN'],
    run: purge,
  },
];

function graveJson({ id, name, owner, destroyedAt, destroyedBy }: Buried): Json {
  return { id, name, owner, destroyedAt: new Date(destroyedAt).toISOString(), destroyedBy: destroyedBy ?? null };
}

async function allGraves({ catalogue }: Call['parts']): Promise<readonly Buried[]> {
  const graves: Buried[] = [];
  for (;;) {
    const after = graves.at(-1)?.id;
    const page = await catalogue.graveyard(after === undefined ? {} : { after });
    if (page.length === 0) return graves;
    graves.push(...page);
  }
}

async function graveOf(call: Call): Promise<Parsed<Buried>> {
  const wanted = call.args.text('GRAVE');
  const graves = await allGraves(call.parts);
  const found = graves.filter((grave) => grave.id === wanted || grave.name === wanted);
  const [only, ...others] = found;
  if (only === undefined) return refuse(`there is no destroyed repository ${shown(wanted)}`);
  if (others.length === 0) return { kind: 'ok', value: only };
  return refuse(`${found.length} destroyed repositories had that name: ${found.map((grave) => grave.id).join(', ')}`);
}

async function restore(call: Call): Promise<Answer> {
  const grave = await graveOf(call);
  if (grave.kind === 'refused') return grave;
  const text = call.args.optional('NAME');
  const name = text === undefined ? undefined : parseRequestedName(text);
  if (name?.kind === 'refused') return { kind: 'usage', reason: name.reason };
  const restored = await call.parts.catalogue.restore(grave.value.id, name?.value);
  if (restored.kind === 'refused') return restored;
  return done({ restored: restored.value.name }, `restored ${restored.value.name}, owned by ${restored.value.owner}\n`);
}

async function purge(call: Call): Promise<Answer> {
  const grave = await graveOf(call);
  if (grave.kind === 'refused') return grave;
  const { id, name, version } = grave.value;
  const asked = await confirm(call, {
    action: 'graveyard purge',
    subject: { name, id, version },
    consequences: [`This deletes the destroyed repository ${name} (${id}) for good.`],
  });
  if (asked !== undefined) return asked;
  const purged = await call.parts.catalogue.purge(id);
  if (purged.kind === 'refused') return purged;
  await call.parts.mirrors?.forget(id);
  await call.parts.lfs?.purge(id);
  const { text, exit } = await revokeOf(call, id);
  return { kind: 'done', json: { purged: name, id }, text: `purged ${name}\n${text}`, exit };
}
