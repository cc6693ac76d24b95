/** What became of a push upstream, from what the upstream says: pure functions over its report and its refs. */
import { isZeroOid, type Oid } from '../git/oid.ts';
import type { Refname } from '../git/refname.ts';
import type { Verdict } from '../receive/step.ts';
import type { Finding, IntendedUpdate } from './forward-intent.ts';

/** The fate of one push upstream. */
export interface ForwardOutcome {
  readonly taken: readonly IntendedUpdate[];
  readonly verdicts: readonly Verdict[];
  /** False: the upstream has, or may yet get, what nobody was told of; its refs have to be looked at again. */
  readonly isKnown: boolean;
}

export const SILENT = 'the upstream did not say whether it took this: fetch and look';
const IN_PART = 'the upstream took only a part of what it was to take as a whole: fetch and look';
/** What git's receive-pack says of the refs that it refuses for the sake of another one. */
const DRAGGED = /^(?:upstream: )?atomic (?:push|transaction) fail(?:ure|ed)/;

export interface Report {
  readonly unpack: string;
  readonly refs: ReadonlyMap<string, string | undefined>;
}

/** Undefined where the report leaves out a ref, or says two things at once: then only the upstream's refs can tell. */
export function readReport(
  updates: readonly IntendedUpdate[],
  { unpack, refs }: Report,
  atomic: boolean,
): ForwardOutcome | undefined {
  // Nothing can be taken of what was not unpacked: one of both is not true.
  if (unpack !== 'ok' && [...refs.values()].includes(undefined)) return undefined;
  if (unpack !== 'ok') return refuseEach(updates, () => `upstream: unpack: ${unpack}`);
  if (updates.some(({ refname }) => !refs.has(refname))) return undefined;
  const taken = updates.filter(({ refname }) => refs.get(refname) === undefined);
  const refused = updates.filter(({ refname }) => refs.get(refname) !== undefined);
  if (refused.length === 0) return { taken, verdicts: [], isKnown: true };
  if (!atomic) {
    const verdicts = refused.map(({ refname }) => ({ refname, reason: `upstream: ${refs.get(refname)}` }));
    return { taken, verdicts, isKnown: true };
  }
  if (taken.length > 0) return { ...refuseEach(updates, () => IN_PART), isKnown: false };
  const culprit = refused.find(({ refname }) => !DRAGGED.test(refs.get(refname) ?? ''));
  return refuseEach(updates, ({ refname }) => {
    const reason = refs.get(refname) ?? '';
    const isDragged = culprit !== undefined && DRAGGED.test(reason);
    return isDragged ? draggedBy(culprit.refname) : `upstream: ${reason}`;
  });
}

/** All or nothing: `refname` is refused for `reason`, each other one for its sake. */
export function refuseFor(
  updates: readonly IntendedUpdate[],
  { refname, reason }: { readonly refname: string; readonly reason: string },
): ForwardOutcome {
  return refuseEach(updates, (update) => (update.refname === refname ? reason : draggedBy(refname)));
}

export function refuseEach(
  updates: readonly IntendedUpdate[],
  reasonOf: (update: IntendedUpdate) => string,
): ForwardOutcome {
  const verdicts = updates.map((update) => ({ refname: update.refname, reason: reasonOf(update) }));
  return { taken: [], verdicts, isKnown: true };
}

function draggedBy(refname: string): string {
  return `atomic push: ${refname} was refused upstream`;
}

/** What the upstream's refs say about a push. */
export function compareRefs(updates: readonly IntendedUpdate[], refs: ReadonlyMap<string, Oid>): Finding {
  if (updates.every(({ refname, newOid }) => isAt(refs, refname, newOid))) return 'taken';
  if (updates.every(({ refname, oldOid }) => isAt(refs, refname, oldOid))) return 'not-taken';
  return 'moved';
}

/** The null oid means that there is no such ref. */
export function isAt(refs: ReadonlyMap<string, Oid>, refname: Refname, oid: Oid): boolean {
  const current = refs.get(refname);
  return isZeroOid(oid) ? current === undefined : current === oid;
}
