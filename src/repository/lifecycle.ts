/** Making, naming and changing repositories: each a transaction, and where the disk is concerned, under a mark. */
import { BOUNDS } from '../base/bounds.ts';
import { newId } from '../base/clock.ts';
import { ok, refuse, type Parsed, type Refusal } from '../base/fault.ts';
import type { ObjectFormat } from '../git/oid.ts';
import type { Check, Write } from '../store/store.ts';
import { attempt } from './attempt.ts';
import { makeBare } from './bare.ts';
import type { Ground } from './ground.ts';
import type { Move } from './layout.ts';
import { foldName, type RepositoryName } from './name.ts';
import { ownerKey } from './ownership.ts';
import { readRegistered, taking, writeRegistered, type Registered } from './record.ts';
import { idIn } from './records.ts';
import { readFields } from '../base/fields.ts';
import type { SettingValue } from './repository.ts';
import { marked } from './settle.ts';
import { headOf, parseDescription, parseOwner, parseSettings, type Settings } from './settings.ts';

/** The repository that holds the site's policy: it keeps its name and stays. */
export const ADMIN_REPOSITORY = 'gatehouse-admin' as RepositoryName;

export interface NewRepository {
  readonly name: RepositoryName;
  readonly owner: string;
  /** Default: sha1. */
  readonly objectFormat?: ObjectFormat;
  readonly description?: string;
  readonly settings?: Readonly<Record<string, SettingValue>>;
}

/** What is written with a record, in the same transaction. */
export interface Along {
  readonly checks?: readonly Check[];
  readonly writes?: readonly Write[];
}

/** @param along what else is there from the same moment on, by the id of the new repository. */
export async function create(
  ground: Ground,
  fresh: NewRepository,
  along: (id: string) => Along = () => ({}),
): Promise<Parsed<Registered>> {
  const parsed = parseNew(ground, fresh);
  if (parsed.kind === 'refused') return parsed;
  const record = parsed.value;
  const { id, name, owner, objectFormat } = record;
  return ground.turns.run(nameTurn(name), async () => {
    // Answered before anything is made; asked again in the transaction.
    const early = (await nameRefusal(ground, name)) ?? (await ownerRefusal(ground, owner));
    if (early !== undefined) return early;
    return marked(ground, { id, why: 'create' }, async () => {
      const path = ground.layout.home(id);
      await ground.layout.prepareParent(path);
      await makeBare({ path, objectFormat, head: headOf(record.settings), identity: { id, name, owner } });
      return commitNew(ground, record, along(id));
    });
  });
}

/** A record as it shall be, checked and not yet stored. */
export function parseNew(ground: Ground, fresh: NewRepository): Parsed<Registered> {
  const owner = parseOwner(fresh.owner);
  if (owner.kind === 'refused') return owner;
  const description = parseDescription(fresh.description ?? '');
  if (description.kind === 'refused') return description;
  const settings = parseSettings(fresh.settings ?? {});
  if (settings.kind === 'refused') return settings;
  return ok({
    id: newId(ground.clock),
    name: fresh.name,
    owner: owner.value,
    objectFormat: fresh.objectFormat ?? 'sha1',
    description: description.value,
    createdAt: ground.clock.now(),
    settings: settings.value,
    hasRules: false,
    version: 0,
  });
}

/** The commit point of a creation, a copy or a restoration: from here on the name means this repository. */
export function commitNew(ground: Ground, record: Registered, along: Along = {}): Promise<Parsed<Registered>> {
  return attempt<Registered>(ground.store, async () => {
    const taken = await nameRefusal(ground, record.name);
    if (taken !== undefined) return taken;
    const owner = await ground.ownerCheck(record.owner);
    if (owner === undefined) return refuse(`there is no user ${record.owner}`);
    const { checks, writes } = taking(record);
    const transaction = {
      checks: [...checks, ...conditionOf(owner), ...(along.checks ?? [])],
      writes: [...writes, ...(along.writes ?? [])],
    };
    return { kind: 'write', transaction, value: (version) => ({ ...record, version }) };
  });
}

/** The name is the record's own affair: no file moves. */
export function rename(ground: Ground, id: string, to: RepositoryName): Promise<Parsed<Registered>> {
  const task = (): Promise<Parsed<Registered>> =>
    change(ground, { id, why: 'describe' }, async (record) => {
      const from = record.name;
      if (from === ADMIN_REPOSITORY) return refuse(`${ADMIN_REPOSITORY} holds the site's policy: it keeps its name`);
      if (from === to) return refuse(`the repository is already named ${to}`);
      const [oldFold, newFold] = [foldName(from), foldName(to)];
      const taken = await nameRefusal(ground, to, id);
      if (taken !== undefined) return taken;
      const checks: Check[] = [{ kind: 'repository-name', key: to, version: 0 }];
      const writes: Write[] = [
        { kind: 'repository-name', key: from, delete: true },
        { kind: 'repository-name', key: to, put: { id } },
        { kind: 'repository-fold', key: newFold, put: { id, name: to } },
      ];
      if (oldFold !== newFold) {
        checks.push({ kind: 'repository-fold', key: newFold, version: 0 });
        writes.push({ kind: 'repository-fold', key: oldFold, delete: true });
      }
      return ok({ record: { ...record, name: to }, checks, writes });
    });
  return ground.turns.run(idTurn(id), () => ground.turns.run(nameTurn(to), task));
}

export async function setOwner(ground: Ground, id: string, text: string): Promise<Parsed<Registered>> {
  const owner = parseOwner(text);
  if (owner.kind === 'refused') return owner;
  return ground.turns.run(idTurn(id), () =>
    change(ground, { id, why: 'describe' }, async (record) => {
      const check = await ground.ownerCheck(owner.value);
      if (check === undefined) return refuse(`there is no user ${owner.value}`);
      const gone: Write = { kind: 'repository-owner', key: ownerKey(record.owner, id), delete: true };
      const come: Write = { kind: 'repository-owner', key: ownerKey(owner.value, id), put: {} };
      return ok({ record: { ...record, owner: owner.value }, checks: conditionOf(check), writes: [gone, come] });
    }),
  );
}

export async function setDescription(ground: Ground, id: string, text: string): Promise<Parsed<Registered>> {
  const description = parseDescription(text);
  if (description.kind === 'refused') return description;
  return change(ground, { id }, async (record) => ok({ record: { ...record, description: description.value } }));
}

/** `update` gets the settings as they are at the time of the transaction. */
export function setSettings(
  ground: Ground,
  options: { readonly id: string; readonly movesHead: boolean; readonly update: (old: Settings) => Parsed<Settings> },
): Promise<Parsed<Registered>> {
  const { id, movesHead, update } = options;
  const decide: Decide = async (record) => {
    if (movesHead && record.name === ADMIN_REPOSITORY) {
      // Its HEAD is the policy in force: another one comes by a push, compiled and tried.
      return refuse(`${ADMIN_REPOSITORY} keeps its branch: push the policy to it`);
    }
    const settings = update(record.settings);
    return settings.kind === 'refused' ? settings : ok({ record: { ...record, settings: settings.value } });
  };
  return ground.turns.run(idTurn(id), () => change(ground, movesHead ? { id, why: 'head' } : { id }, decide));
}

/** @param text the owner's own rules, or undefined for none. Whether they compile is asked elsewhere. */
export async function setRules(ground: Ground, id: string, text: string | undefined): Promise<Parsed<Registered>> {
  const wrong = text === undefined ? undefined : rulesRefusal(text);
  if (wrong !== undefined) return wrong;
  return change(ground, { id }, async (record) => {
    const key = { kind: 'repository-rules', key: id } as const;
    const write: Write = text === undefined ? { ...key, delete: true } : { ...key, put: { text } };
    return ok({ record: { ...record, hasRules: text !== undefined }, writes: [write] });
  });
}

interface Changed {
  readonly record: Registered;
  readonly checks?: readonly Check[];
  readonly writes?: readonly Write[];
}
type Decide = (record: Registered) => Promise<Parsed<Changed>>;

/** Changes one record; with `why`, under a mark, because a file has to follow. */
async function change(
  ground: Ground,
  what: { readonly id: string; readonly why?: Move },
  decide: Decide,
): Promise<Parsed<Registered>> {
  const { id, why } = what;
  const commit = (): Promise<Parsed<Registered>> =>
    attempt<Registered>(ground.store, async () => {
      const stored = await ground.store.get('repository', id);
      if (stored === undefined) return refuse('the repository was destroyed meanwhile');
      const changed = await decide(readRegistered(stored));
      if (changed.kind === 'refused') return changed;
      const { record, checks = [], writes = [] } = changed.value;
      const transaction = {
        checks: [{ kind: 'repository', key: id, version: stored.version } as const, ...checks],
        writes: [{ kind: 'repository', key: id, put: writeRegistered(record) } as const, ...writes],
      };
      return { kind: 'write', transaction, value: (version) => ({ ...record, version }) };
    });
  return why === undefined ? commit() : marked(ground, { id, why }, commit);
}

/** Why the name cannot be taken, by anybody but the repository `except`; undefined where it can. */
export async function nameRefusal(ground: Ground, name: RepositoryName, except?: string): Promise<Refusal | undefined> {
  const stored = await ground.store.get('repository-fold', foldName(name));
  if (stored === undefined || idIn(stored) === except) {
    const reason = await ground.nameCheck(name);
    return reason === undefined ? undefined : refuse(reason);
  }
  const other = readFields(stored.value, `repository-fold ${stored.key}`).text('name');
  return other === name
    ? refuse(`there is already a repository ${name}`)
    : // How the other is spelled is for those who may read it.
      refuse(`there is already a repository whose name differs from ${name} in case only`);
}

async function ownerRefusal(ground: Ground, owner: string): Promise<Refusal | undefined> {
  return (await ground.ownerCheck(owner)) === undefined ? refuse(`there is no user ${owner}`) : undefined;
}

function rulesRefusal(text: string): Refusal | undefined {
  if (Buffer.byteLength(text) > BOUNDS.repositoryRulesBytesMax)
    return refuse(`rules have at most ${BOUNDS.repositoryRulesBytesMax} bytes`);
  return text.isWellFormed() && !text.includes('\0') ? undefined : refuse('rules are text in UTF-8 without NUL');
}

export function idTurn(id: string): string {
  return `id ${id}`;
}

export function nameTurn(name: RepositoryName): string {
  return `name ${foldName(name)}`;
}

/** The condition of an owner, if there is one. */
function conditionOf(check: Check | 'anybody'): readonly Check[] {
  return check === 'anybody' ? [] : [check];
}
