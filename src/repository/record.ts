/** A repository as it lies in the store, alive or in the graveyard, and what is written with each record. */
import { readFields } from '../base/fields.ts';
import { Fault } from '../base/fault.ts';
import { isJsonObject, type Json } from '../base/json.ts';
import { OBJECT_FORMATS, type ObjectFormat } from '../git/oid.ts';
import type { Check, Stored, Write } from '../store/store.ts';
import { foldName, type RepositoryName } from './name.ts';
import { ownerKey } from './ownership.ts';
import type { SettingValue } from './repository.ts';

export interface Registered {
  readonly id: string;
  readonly name: RepositoryName;
  readonly owner: string;
  readonly objectFormat: ObjectFormat;
  readonly description: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly settings: Readonly<Record<string, SettingValue>>;
  /** Whether `repository-rules` holds rules of its own. */
  readonly hasRules: boolean;
  readonly version: number;
}

/** A destroyed repository: everything that is needed to bring it back, and who destroyed it. */
export interface Buried extends Registered {
  /** Milliseconds since 1970. */
  readonly destroyedAt: number;
  /** A user name, where it is known. */
  readonly destroyedBy?: string;
}

/** @throws Fault 'corrupt' */
export function readRegistered(stored: Stored): Registered {
  const fields = readFields(stored.value, `repository ${stored.key}`);
  return {
    id: stored.key,
    name: fields.text('name') as RepositoryName, // written from a parsed name only
    owner: fields.text('owner'),
    objectFormat: fields.word('objectFormat', OBJECT_FORMATS),
    description: fields.text('description'),
    createdAt: fields.number('createdAt'),
    settings: readSettings(fields.raw('settings'), stored.key),
    hasRules: fields.flag('hasRules'),
    version: stored.version,
  };
}

/** @throws Fault 'corrupt' */
export function readBuried(stored: Stored): Buried {
  const fields = readFields(stored.value, `graveyard ${stored.key}`);
  const destroyedBy = fields.optionalText('destroyedBy');
  return {
    ...readRegistered(stored),
    destroyedAt: fields.number('destroyedAt'),
    ...(destroyedBy === undefined ? {} : { destroyedBy }),
  };
}

export function writeRegistered(record: Registered): { readonly [key: string]: Json } {
  const { name, owner, objectFormat, description, createdAt, settings, hasRules } = record;
  return { name, owner, objectFormat, description, createdAt, settings, hasRules };
}

export function writeBuried(buried: Buried): Json {
  const { destroyedAt, destroyedBy } = buried;
  return { ...writeRegistered(buried), destroyedAt, ...(destroyedBy === undefined ? {} : { destroyedBy }) };
}

/** A name is taken by three objects at once: conditions under which it is free, and what takes it. */
export function taking(record: Registered): { readonly checks: readonly Check[]; readonly writes: readonly Write[] } {
  const { id, name, owner } = record;
  const fold = foldName(name);
  return {
    checks: [
      { kind: 'repository-name', key: name, version: 0 },
      { kind: 'repository-fold', key: fold, version: 0 },
      { kind: 'repository', key: id, version: 0 },
    ],
    writes: [
      { kind: 'repository', key: id, put: writeRegistered(record) },
      { kind: 'repository-name', key: name, put: { id } },
      { kind: 'repository-fold', key: fold, put: { id, name } },
      { kind: 'repository-owner', key: ownerKey(owner, id), put: {} },
    ],
  };
}

function readSettings(value: Json | undefined, id: string): Readonly<Record<string, SettingValue>> {
  if (!isJsonObject(value)) throw corrupt(id);
  for (const entry of Object.values(value)) {
    const isSetting =
      typeof entry === 'string' || (Array.isArray(entry) && entry.every((each) => typeof each === 'string'));
    if (!isSetting) throw corrupt(id);
  }
  return value as Readonly<Record<string, SettingValue>>; // proved entry by entry
}

function corrupt(id: string): Fault {
  return new Fault('corrupt', 'stored repository has wrong settings', { context: { id } });
}
