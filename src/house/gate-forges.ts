/** What a gate for one job makes at forges and takes away again: what an earlier one of its name left, and at the end its own. */
import type { JournalOutcome } from '../audit/entry.ts';
import { newId, systemClock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import type { ForgePlace } from '../upstream/forges/forge.ts';
import type { Grant } from '../upstream/forges/grant-record.ts';
import { addProvisioned } from '../upstream/forges/provision.ts';
import type { Doing } from '../upstream/mirrors.ts';
import { must } from './gate-agent.ts';
import type { ReadyUpstream } from './gate-secrets.ts';
import type { Rooms } from './rooms.ts';

export interface JobAbout {
  readonly rooms: Rooms;
  readonly upstreams: readonly ReadyUpstream[];
  /** To who started the gate, and to the journal. */
  readonly tell: (line: string, outcome?: JournalOutcome) => void;
}

function doingOf({ tell }: Pick<JobAbout, 'tell'>, signal: AbortSignal): Doing {
  return { requestId: newId(systemClock), signal, tell };
}

/** Mirrors and keys of an earlier run that did not end as it should. Problems in words; what they are about stays. */
export async function clearEarlier(about: JobAbout, signal: AbortSignal): Promise<readonly string[]> {
  const { rooms, upstreams, tell } = about;
  const { forges } = rooms.upstreams;
  await dropMirrors(rooms);
  const problems: string[] = [];
  for (const grant of await forges.leftovers()) problems.push(...(await revoke(about, grant, signal)));
  const seen = new Set<string>();
  for (const { place, forgeToken: token } of upstreams) {
    if (place === undefined || token === undefined || seen.has(placeKey(place))) continue;
    seen.add(placeKey(place));
    for (const { what } of await forges.sweepMarked(place, { isDryRun: false, signal, token }))
      tell(`revoked the ${what}, which an earlier gate left`);
  }
  return problems;
}

/** Repositories of mirrors, with all that is in them. What is at their forges stays on record. */
async function dropMirrors({ catalogue, upstreams: { mirrors } }: Rooms): Promise<void> {
  for (const { repository } of await mirrors.list()) {
    must(await catalogue.destroy(repository));
    mirrors.rest(repository.id);
    await mirrors.forget(repository.id);
    must(await catalogue.purge(repository.id));
  }
}

/** One mirror after the other, each with what it needs. @throws Fault with a public message. */
export async function makeMirrors(
  about: JobAbout,
  agent: { readonly name: string; readonly scan: boolean },
  more: Made,
): Promise<void> {
  const { rooms, upstreams, tell } = about;
  const { mirrorDesk: desk, forges } = rooms.upstreams;
  for (const upstream of upstreams) {
    const { name, url, hostKeys, authorities, secret, freshMs, refs, allowsPartialPushes, scope, place } = upstream;
    tell(`${name}: asking ${url.host}`);
    const takesPushes = scope.push.length > 0;
    const fresh = {
      name,
      owner: agent.name,
      url,
      hostKeys,
      authorities,
      credential: secret,
      freshMs,
      refs,
      takesPushes,
      allowsPartialPushes,
    };
    const doing = doingOf(about, more.signal);
    const wish = place && {
      place,
      token: upstream.forgeToken,
      key: upstream.deployKey ? { mayWrite: takesPushes } : undefined,
      hookUrl: upstream.webhook ? more.hookUrl : undefined,
    };
    const added = must(
      await (wish === undefined ? desk.add(fresh, doing) : addProvisioned({ desk, forges }, { fresh, wish }, doing)),
    );
    if (!agent.scan) must(await rooms.catalogue.setSetting(added.repository, 'scan', 'off'));
  }
}

export interface Made {
  readonly signal: AbortSignal;
  readonly hookUrl: (id: string) => string;
}

/** Everything that was made is taken away. What could not be, in words of what to do by hand. */
export async function revokeAll(about: JobAbout, signal: AbortSignal): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const grant of await about.rooms.upstreams.forges.list()) problems.push(...(await revoke(about, grant, signal)));
  return problems;
}

async function revoke(
  { rooms, upstreams, tell }: JobAbout,
  grant: Grant,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { forges } = rooms.upstreams;
  const token = tokenOf(upstreams, grant.place);
  const what = describe(grant);
  try {
    if (token === undefined)
      throw new Fault('usage', 'no token', { publicMessage: 'no upstream of the declaration has a token for it' });
    tell(`${(await forges.revoke(grant, { signal, token })) ? 'revoked' : 'already gone:'} the ${what}`);
    return [];
  } catch (error) {
    return [
      `the ${what} was NOT revoked: ${publicMessageOf(error, 'local')}; take it away by hand in the settings of ${grant.place.project}`,
    ];
  }
}

function describe(grant: Grant): string {
  const { project, apiUrl } = grant.place;
  const what = grant.what === 'key' ? `deploy key "${grant.title}"` : `webhook ${grant.url}`;
  return `${what} of ${project} at ${new URL(apiUrl).host}`;
}

/** The token that is declared for this project, else one for the same forge. */
function tokenOf(upstreams: readonly ReadyUpstream[], wanted: ForgePlace): string | undefined {
  const atForge = upstreams.filter(({ place }) => place?.apiUrl === wanted.apiUrl);
  const same = atForge.find(({ place }) => place?.project === wanted.project) ?? atForge[0];
  return same?.forgeToken;
}

function placeKey({ apiUrl, project }: ForgePlace): string {
  return JSON.stringify([apiUrl, project]);
}
