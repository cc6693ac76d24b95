/**
 * Decides a fetch: git's own upload-pack serves any object in v2 and believes every `shallow` and `have`, so what
 * reaches it has passed here. Nothing that only a hidden ref leads to is served, and nothing is confirmed about it.
 */
import { type Parsed, ok, refuse } from '../base/fault.ts';
import type { Oid } from '../git/oid.ts';
import type { Repository } from '../repository/repository.ts';
import { type FetchRequest, INFINITE_DEPTH } from './fetch-request.ts';
import type { Reachability } from './reachability.ts';
import { type View, resolveName } from './view.ts';
import type { WalkPlaces } from './walk-place.ts';
import { quoteLine } from './wire.ts';

export interface AdmissionContext extends WalkPlaces {
  readonly repository: Repository;
  readonly view: View;
  /** Was this tip shown to the client, in this conversation or a moment ago? */
  readonly wasShown: (oid: Oid) => boolean;
  readonly signal: AbortSignal;
  readonly requestId: string;
}

export interface Admitted {
  /** What git gets. */
  readonly request: FetchRequest;
  /** Haves still to come must pass `knownHaves`. */
  readonly checkHaves: boolean;
}

export class Admission {
  readonly #reachability: Reachability;

  constructor(reachability: Reachability) {
    this.#reachability = reachability;
  }

  /** The request as git may have it, or why not. @throws Fault where the question cannot be answered. */
  async admit(request: FetchRequest, context: AdmissionContext): Promise<Parsed<Admitted>> {
    const { view, wasShown } = context;
    const deepenNot = fullNames(request.deepenNot, view);
    if (deepenNot.kind === 'refused') return deepenNot;
    const oids = request.wants.filter((oid) => !wasShown(oid));
    const unreachable = await this.#reachability.unreachable({ ...context, oids });
    const [first] = unreachable;
    if (first !== undefined) return refuse(notOurRef(first, unreachable.size));

    const shallows = await this.#knownShallows(request, context);
    // Where a boundary was dropped, what lies above it must go as well: git would take the client to have all below.
    const checkHaves = view.filtered || shallows.length < request.shallows.length;
    const haves = checkHaves ? await this.knownHaves(request.haves, context) : request.haves;
    const flags = new Set(request.flags);
    // pack-objects adds the tags of hidden refs too; without it the client asks for the tags it sees by itself.
    if (view.hidesTags) flags.delete('include-tag');
    return ok({ request: { ...request, deepenNot: deepenNot.value, shallows, haves, flags }, checkHaves });
  }

  /** May this principal have this object? */
  async isReachable(oid: Oid, context: AdmissionContext): Promise<boolean> {
    return (await this.#reachability.unreachable({ ...context, oids: [oid] })).size === 0;
  }

  /** Those of `haves` that the principal could have got here: of the others it learns nothing. */
  async knownHaves(haves: readonly Oid[], context: AdmissionContext): Promise<readonly Oid[]> {
    if (haves.length === 0) return haves;
    const inside = await this.#reachability.commitsInside({ ...context, oids: haves });
    return haves.filter((oid) => inside.has(oid));
  }

  /**
   * A boundary that git unshallows makes it send the parents of whatever commit was named, so where it would without
   * having met the commit on the way from a want, only reachable ones are passed on.
   */
  async #knownShallows(request: FetchRequest, context: AdmissionContext): Promise<readonly Oid[]> {
    const isTrusting = request.deepen === INFINITE_DEPTH || request.flags.has('deepen-relative');
    if (request.shallows.length === 0 || !(isTrusting || context.view.filtered)) return request.shallows;
    const inside = await this.#reachability.commitsInside({ ...context, oids: request.shallows });
    return request.shallows.filter((oid) => inside.has(oid));
  }
}

function fullNames(names: readonly string[], view: View): Parsed<readonly string[]> {
  const full: string[] = [];
  for (const name of names) {
    const [found, ...others] = resolveName(view, name);
    if (found === undefined || others.length > 0) {
      return refuse(`${found === undefined ? 'unknown' : 'ambiguous'} deepen-not: ${quoteLine(name)}`);
    }
    full.push(found.refname);
  }
  return ok(full);
}

/** git's own words first, because clients look for them. The same for an object that is not there at all. */
function notOurRef(oid: Oid, count: number): string {
  const more = count > 1 ? `, and ${count - 1} more` : '';
  return `upload-pack: not our ref ${oid}${more} (not reachable from any ref that you may read)`;
}
