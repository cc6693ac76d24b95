/** A mirror with what it needs at its forge: both come to be, or neither. */
import { refuse, type Parsed } from '../../base/fault.ts';
import { declaredProblem, type NewMirror } from '../declare.ts';
import type { Doing, MirrorView } from '../mirrors.ts';
import type { ForgeDesk, GrantAsked, Made } from './forge-desk.ts';
import type { ForgePlace } from './forge.ts';
import type { Grant } from './grant-record.ts';

export interface ForgeWish {
  readonly place: ForgePlace;
  /** Undefined: that of the gate's environment. */
  readonly token: string | undefined;
  /** A deploy key as the mirror's credential; undefined: none. */
  readonly key: { readonly mayWrite: boolean } | undefined;
  /** Where the forge calls the webhook of this id; undefined: none. */
  readonly hookUrl: ((id: string) => string) | undefined;
}

export interface ProvisionParts {
  readonly desk: { add(fresh: NewMirror, doing: Doing): Promise<Parsed<MirrorView>> };
  readonly forges: Pick<ForgeDesk, 'makeKey' | 'makeHook'>;
}

/**
 * Makes key and webhook at the forge, then the mirror, in whose transaction they are linked to it. Where anything fails,
 * what was made is revoked; where that fails too, the reason says what to do by hand.
 * @throws Fault `upstream`, `usage` with a public message, `aborted`.
 */
export async function addProvisioned(
  { desk, forges }: ProvisionParts,
  about: { readonly fresh: NewMirror; readonly wish: ForgeWish },
  doing: Doing,
): Promise<Parsed<MirrorView>> {
  const { fresh, wish } = about;
  // Before anything is made: what cannot be a mirror needs no key.
  const credential = wish.key === undefined ? fresh.credential : ({ kind: 'key' } as const);
  const wrong = declaredProblem({ ...fresh, credential });
  if (wrong !== undefined) return refuse(wrong);
  const asked: GrantAsked = { place: wish.place, mirror: fresh.name, token: wish.token };
  const made: Made<Grant>[] = [];
  let privateKey: string | undefined;
  try {
    if (wish.key !== undefined) {
      doing.tell?.(`making a deploy key of ${wish.place.project} at ${new URL(wish.place.apiUrl).host}`);
      const key = await forges.makeKey({ ...asked, ...wish.key }, doing);
      privateKey = key.pair.privateKey;
      made.push(key);
    }
    if (wish.hookUrl !== undefined) {
      doing.tell?.(`making a webhook of ${wish.place.project}`);
      made.push(await forges.makeHook({ ...asked, urlOf: wish.hookUrl }, doing));
    }
    const added = await desk.add(
      {
        ...fresh,
        ...(privateKey === undefined ? {} : { credential: { kind: 'key', privateKey } }),
        alongside: (repositoryId) => made.map((one) => one.link(repositoryId)),
      },
      doing,
    );
    if (added.kind === 'refused') return refuse([added.reason, ...(await undoAll(made))].join('\n'));
    for (const one of made) one.keep();
    return added;
  } catch (error) {
    for (const problem of await undoAll(made)) doing.tell?.(problem);
    throw error;
  }
}

/** Also when whoever asked is gone: what is there has to go. */
async function undoAll(made: readonly Made<Grant>[]): Promise<readonly string[]> {
  const { signal } = new AbortController();
  const problems = await Promise.all(made.map((one) => one.undo({ signal })));
  return problems.filter((problem) => problem !== undefined);
}
