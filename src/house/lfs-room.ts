/** Git LFS as it stands in this house: where objects lie, who scans them, which upstreams have more of them. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Config } from '../base/config.ts';
import { Fault } from '../base/fault.ts';
import { LfsGrants } from '../lfs/grants.ts';
import { LfsInspection } from '../lfs/inspection.ts';
import { LfsObjects } from '../lfs/objects.ts';
import type { PushPointers } from '../lfs/pointers-of-push.ts';
import { LfsService } from '../lfs/service.ts';
import { createLfsStep } from '../lfs/step.ts';
import { LfsStorage } from '../lfs/storage.ts';
import type { LfsUpstreams } from '../lfs/upstreams.ts';
import type { Repository } from '../repository/repository.ts';
import type { Step } from '../receive/step.ts';
import type { Settings } from '../base/settings.ts';
import type { LfsDoorParts } from '../transport/lfs-parts.ts';
import type { Store } from '../store/store.ts';
import { LfsClient } from '../upstream/lfs/client.ts';
import type { Mirrors } from '../upstream/mirrors.ts';
import { WIRE_LIMITS } from '../upstream/wire/limits.ts';
import type { ScanRoom } from './scan-room.ts';

export interface LfsGround {
  readonly config: Config;
  readonly store: Store;
  readonly clock: Clock;
  readonly scan: ScanRoom;
  readonly upstreams: LfsUpstreams;
  readonly pointers: PushPointers;
  readonly catalogue: {
    byId(id: string): Promise<unknown>;
    buried(id: string): Promise<unknown>;
  };
  readonly log: {
    info(fields: Readonly<Record<string, unknown>>, message: string): void;
    warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  };
}

export interface LfsRoom {
  readonly step: Step;
  readonly objects: LfsObjects;
  readonly service: LfsService;
  readonly grants: LfsGrants;
}

/** What a crash left on its way in goes, and so do the objects of repositories that were purged. */
export async function openLfsRoom(ground: LfsGround, stack: AsyncDisposableStack): Promise<LfsRoom> {
  const { config, store, clock, scan, upstreams, pointers, catalogue, log } = ground;
  const { settings, dataDirectory } = config;
  const storage = new LfsStorage(join(dataDirectory, 'lfs'));
  await storage.open();
  const inspection = new LfsInspection({ ...scan, rules: rulesName(scan), clock, deadlineMs: settings.scanDeadline });
  const limits = { objectBytesMax: settings.lfsObjectBytesMax, repositoryBytesMax: settings.lfsRepositoryBytesMax };
  const objects = new LfsObjects({ store, storage, inspection, clock, limits });
  for (const id of await storage.repositories()) {
    if ((await catalogue.byId(id)) !== undefined || (await catalogue.buried(id)) !== undefined) continue;
    log.info({ id }, 'delete the LFS objects of a repository that is gone');
    await objects.purge(id);
  }
  const service = new LfsService({ objects, upstreams, clock, deadlineMs: settings.pushDeadline, log });
  stack.defer(() => service.close());
  const step = createLfsStep({ objects, pointers, upstreams });
  return { step, objects, service, grants: new LfsGrants(clock) };
}

/** What the doors are handed. */
export function lfsDoor(
  { service, grants }: LfsRoom,
  about: {
    readonly walk: LfsDoorParts['walk'];
    readonly settings: Pick<Settings, 'httpUrl'>;
    readonly urls: () => { readonly http?: string };
  },
): LfsDoorParts {
  const { walk, settings, urls } = about;
  const given = settings.httpUrl.replace(/\/+$/, '');
  return {
    service,
    grants,
    walk,
    publicUrl: () => (given === '' ? undefined : given),
    doorUrl: () => urls().http,
  };
}

/** A name for the rules in force that stays while they do, over restarts too. */
function rulesName({ desk, scanner }: ScanRoom): () => string {
  let named: { readonly revision: number; readonly name: string } | undefined;
  return () => {
    if (named?.revision !== scanner.revision) {
      const name = createHash('sha256').update(JSON.stringify(desk.ruleSet())).digest('hex');
      named = { revision: scanner.revision, name };
    }
    return named.name;
  };
}

/** Upstreams as LFS asks for them. */
export function lfsUpstreams(mirrors: Mirrors): LfsUpstreams {
  const clientOf = async ({ id }: Repository): Promise<LfsClient> => {
    const upstream = await mirrors.find(id);
    if (upstream === undefined) throw new Fault('missing', 'repository is no mirror any more');
    const [remote, credential] = [await mirrors.remote(id), await mirrors.credentialOf(upstream)];
    const { silenceMs, workMs } = WIRE_LIMITS;
    return new LfsClient({ upstream, remote, credential, silenceMs, workMs });
  };
  return {
    isMirror: (id) => mirrors.isMirror(id),
    async having(repository, pointers, call) {
      const found = await (await clientOf(repository)).having(pointers, call);
      return new Set(pointers.map(({ oid }) => oid).filter((oid) => found.has(oid)));
    },
    download: async (repository, pointer, call) => (await clientOf(repository)).download(pointer, call),
    upload: async (repository, objects, call) => (await clientOf(repository)).upload(objects, call),
  };
}
