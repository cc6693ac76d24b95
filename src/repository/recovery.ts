/** After a crash: the marks are settled. After the loss of the store: the catalogue is read off the disk. */
import { join } from 'node:path';
import { refuse, type Parsed } from '../base/fault.ts';
import { readIdentity } from './bare.ts';
import type { Ground } from './ground.ts';
import { entriesOf } from './layout.ts';
import { commitNew } from './lifecycle.ts';
import { parseRepositoryName } from './name.ts';
import { ownerKey } from './ownership.ts';
import { writeBuried, type Buried, type Registered } from './record.ts';
import { parseOwner } from './settings.ts';
import { settle } from './settle.ts';

/** At start, before the first request. Resolves to how many repositories had a mark. */
export async function sweep(ground: Ground): Promise<number> {
  const marks = await ground.layout.marks();
  for (const mark of marks) {
    ground.log('settle a repository', { ...mark });
    await settle(ground, mark);
  }
  return marks.length;
}

export interface RebuildReport {
  readonly adopted: readonly Registered[];
  /** Destroyed ones found in the graveyard's directory. */
  readonly buried: readonly string[];
  /** What was found and left alone, in words. */
  readonly problems: readonly string[];
}

/**
 * Records for the directories that have none, from what their configuration says: id, name, owner, format. Settings
 * are not there, so nobody but the owner and the administrators may read what comes back: the safe side.
 * Directories that do not say who they are, or whose name is taken, are reported and stay where they are.
 */
export async function rebuild(ground: Ground): Promise<RebuildReport> {
  await sweep(ground);
  const adopted: Registered[] = [];
  const buried: string[] = [];
  const problems: string[] = [];
  for await (const id of ground.layout.homes()) {
    if ((await ground.store.get('repository', id)) !== undefined) continue;
    const result = await adopt(ground, id);
    if (result.kind === 'ok') adopted.push(result.value);
    else problems.push(`${ground.layout.home(id)}: ${result.reason}`);
  }
  for (const entry of await entriesOf(join(ground.layout.root, '.graveyard'))) {
    const id = /^([0-9a-f]{32})\.git$/.exec(entry)?.[1];
    if (id === undefined || (await ground.store.get('graveyard', id)) !== undefined) continue;
    const result = await bury(ground, id);
    if (result.kind === 'ok') buried.push(id);
    else problems.push(`${ground.layout.grave(id)}: ${result.reason}`);
  }
  return { adopted, buried, problems };
}

async function adopt(ground: Ground, id: string): Promise<Parsed<Registered>> {
  if ((await ground.store.get('graveyard', id)) !== undefined) return refuse('the store has it in the graveyard');
  const record = await describe(ground, id, ground.layout.home(id));
  return record.kind === 'refused' ? record : commitNew(ground, record.value);
}

async function bury(ground: Ground, id: string): Promise<Parsed<Buried>> {
  const record = await describe(ground, id, ground.layout.grave(id));
  if (record.kind === 'refused') return record;
  const buried = { ...record.value, destroyedAt: ground.clock.now() };
  const result = await ground.store.transact({
    checks: [
      { kind: 'graveyard', key: id, version: 0 },
      { kind: 'repository', key: id, version: 0 },
    ],
    writes: [
      { kind: 'graveyard', key: id, put: writeBuried(buried) },
      { kind: 'repository-owner', key: ownerKey(buried.owner, id), put: {} },
    ],
  });
  return result.kind === 'committed' ? { kind: 'ok', value: buried } : refuse('the store has it among the living');
}

async function describe(ground: Ground, id: string, path: string): Promise<Parsed<Registered>> {
  const identity = await readIdentity(path).catch(() => undefined); // no configuration: nobody knows what it is
  if (identity === undefined || identity.id !== id)
    return refuse('its configuration does not say that it is this repository');
  const name = parseRepositoryName(identity.name);
  if (name.kind === 'refused') return name;
  const owner = parseOwner(identity.owner);
  if (owner.kind === 'refused') return owner;
  const stored = await ground.store.get('repository-rules', id);
  return {
    kind: 'ok',
    value: {
      id,
      name: name.value,
      owner: owner.value,
      objectFormat: identity.objectFormat,
      description: '',
      createdAt: ground.clock.now(),
      settings: {},
      hasRules: stored !== undefined,
      version: 0,
    },
  };
}
