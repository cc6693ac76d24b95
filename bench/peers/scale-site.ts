/**
 * A data directory with very many repositories, users and keys, as the gate itself would have written them: records through
 * the store, bare directories on disk without the syncs that make a real creation slow.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newId, systemClock } from '../../src/base/clock.ts';
import { groupKey, writeGroup } from '../../src/identity/group-index.ts';
import { makeKey, writeKey } from '../../src/identity/keys.ts';
import { parseGroupName, parseUserName, type GroupName, type UserName } from '../../src/identity/principal.ts';
import { parsePublicKey, type PublicKey } from '../../src/identity/public-key.ts';
import { userKey, writeUser } from '../../src/identity/user-record.ts';
import { Layout } from '../../src/repository/layout.ts';
import { parseRepositoryName, type RepositoryName } from '../../src/repository/name.ts';
import { taking } from '../../src/repository/record.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { Store, Write } from '../../src/store/store.ts';

export interface Crowd {
  readonly repositories: number;
  readonly users: number;
  readonly keysPerUser: number;
  readonly groups: number;
}

/** What a site of that many repositories has of the rest. */
export function crowdOf(repositories: number): Crowd {
  const users = Math.max(1, Math.round(repositories / 10));
  return { repositories, users, keysPerUser: 2, groups: Math.max(1, Math.round(users / 50)) };
}

const BATCH = 2_000;
/** Each behind the one that it lies in. */
const DIRECTORIES = ['', 'objects', 'objects/info', 'objects/pack', 'refs', 'refs/heads', 'refs/tags'];

/** Fills the data directory of a gate that ran once and was stopped. */
export async function fillSite(data: string, crowd: Crowd): Promise<void> {
  const store = await openSqliteStore({ path: join(data, 'gatehouse.db') });
  try {
    const batches = new Batches(store);
    await writeUsers(batches, crowd);
    await writeGroups(batches, crowd);
    await writeRepositories(batches, join(data, 'repositories'), crowd);
    await batches.flush();
  } finally {
    await store.close();
  }
}

export function crowdUser(index: number): UserName {
  return parsed(parseUserName(`user-${index}`));
}

export function crowdRepository(index: number): RepositoryName {
  return parsed(parseRepositoryName(`team${index % 97}/project-${index}`));
}

function crowdGroup(index: number): GroupName {
  return parsed(parseGroupName(`group-${index}`));
}

class Batches {
  readonly #store: Store;
  #writes: Write[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  async add(...writes: readonly Write[]): Promise<void> {
    this.#writes.push(...writes);
    if (this.#writes.length >= BATCH) await this.flush();
  }

  async flush(): Promise<void> {
    const writes = this.#writes;
    this.#writes = [];
    if (writes.length === 0) return;
    const done = await this.#store.transact({ writes });
    if (done.kind !== 'committed') throw new Error('the store refused the crowd');
  }
}

async function writeUsers(batches: Batches, { users, keysPerUser }: Crowd): Promise<void> {
  const createdAt = systemClock.now();
  for (let index = 0; index < users; index += 1) {
    const name = crowdUser(index);
    const keys = Array.from({ length: keysPerUser }, (_, nth) => ({ tag: `key-${nth}`, key: freshKey() }));
    const user = {
      id: newId(systemClock),
      name,
      email: `${name}@example.org`,
      realName: `Person number ${index}`,
      account: 'person' as const,
      suspended: false,
      createdAt,
      keys: keys.map(({ tag, key }) => ({ tag, fingerprint: key.fingerprint })),
      tokens: [],
      version: 0,
    };
    await batches.add({ kind: 'user', key: userKey(name), put: writeUser(user) });
    for (const { tag, key } of keys) {
      const put = writeKey(makeKey({ user: name, tag, key, addedAt: createdAt }));
      await batches.add({ kind: 'key', key: key.fingerprint, put });
    }
  }
}

/** A key as it goes over the wire; nobody has its other half. */
function freshKey(): PublicKey {
  const type = 'ssh-ed25519';
  const blob = Buffer.concat([sized(Buffer.from(type)), sized(systemClock.randomBytes(32))]);
  return parsed(parsePublicKey(`${type} ${blob.toString('base64')}`));
}

function sized(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Each user in one group, and each ten groups within another. */
async function writeGroups(batches: Batches, { users, groups }: Crowd): Promise<void> {
  for (let index = 0; index < groups; index += 1) {
    const members = Array.from({ length: Math.ceil((users - index) / groups) }, (_, nth) => index + nth * groups);
    const isParent = index % 10 === 0;
    const below = isParent ? Array.from({ length: Math.min(9, groups - index - 1) }, (_, nth) => index + nth + 1) : [];
    const group = {
      name: crowdGroup(index),
      description: `Group number ${index}`,
      users: members.map(crowdUser).toSorted(),
      groups: below.map(crowdGroup).toSorted(),
      createdAt: systemClock.now(),
      version: 0,
    };
    await batches.add({ kind: 'group', key: groupKey(group.name), put: writeGroup(group) });
  }
  // Whoever has an index of groups reads them again.
  await batches.add({ kind: 'meta', key: 'groups', put: {} });
}

async function writeRepositories(
  batches: Batches,
  root: string,
  { repositories, users, groups }: Crowd,
): Promise<void> {
  const layout = new Layout(root);
  const pattern = configPattern(root);
  const known = new Set<string>();
  for (let index = 0; index < repositories; index += 1) {
    const id = newId(systemClock);
    const name = crowdRepository(index);
    const owner = crowdUser(index % users);
    const record = {
      id,
      name,
      owner,
      objectFormat: 'sha1' as const,
      description: `Project number ${index}`,
      createdAt: systemClock.now(),
      settings: { public: index % 3 === 0 ? 'yes' : 'no', writers: [crowdGroup(index % groups)] },
      hasRules: false,
      version: 0,
    };
    await batches.add(...taking(record).writes);
    sketchBare(layout.home(id), { config: pattern({ id, name, owner }), known });
  }
}

/** The configuration of a repository that the gate made, with another identity. */
function configPattern(root: string): (identity: { id: string; name: string; owner: string }) => string {
  const made = readdirSync(root, { recursive: true }).find((path) => String(path).endsWith('.git/config'));
  if (made === undefined) throw new Error(`no repository lies below ${root}`);
  const text = readFileSync(join(root, String(made)), 'utf8').replace(/\[gatehouse\][^[]*/, '');
  return ({ id, name, owner }) => `${text}[gatehouse]\n\tid = ${id}\n\tname = ${name}\n\towner = ${owner}\n`;
}

function sketchBare(path: string, { config, known }: { readonly config: string; readonly known: Set<string> }): void {
  const parent = join(path, '..');
  if (!known.has(parent)) mkdirSync(parent, { recursive: true });
  known.add(parent);
  for (const directory of DIRECTORIES) mkdirSync(join(path, directory));
  writeFileSync(join(path, 'HEAD'), 'ref: refs/heads/main\n');
  writeFileSync(join(path, 'config'), config);
}

function parsed<T>(result: { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'refused' }): T {
  if (result.kind === 'ok') return result.value;
  throw new Error('a name or key of the crowd is none');
}
