/**
 * What one principal sees of a snapshot of refs. Views that show the same refs are one object, kept with the
 * snapshot, so that what is encoded or proven for one principal serves all who see the same.
 */
import { createHash } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import { Stint } from '../base/stint.ts';
import type { Oid } from '../git/oid.ts';
import type { RefEntry, RefSnapshot } from '../git/ref-cache.ts';
import { isInternalRefname } from '../git/refname.ts';

/** May this refname be read? undefined: every ref but the gate's own. */
export type MayRead = ((refname: string) => boolean) | undefined;

export interface View {
  readonly snapshot: RefSnapshot;
  /** Equal for views of one snapshot that show the same refs. */
  readonly key: string;
  /** Some ref is kept from this principal: what it claims to have must be checked too. */
  readonly filtered: boolean;
  /** An annotated tag is kept from it: pack-objects' `--include-tag` knows no hidden refs. */
  readonly hidesTags: boolean;
  /** Sorted by bytes, as in the snapshot. */
  readonly refs: readonly RefEntry[];
  /** Undefined where HEAD may not be shown: its target, or the commit it is detached at, is not readable. */
  readonly head: RefSnapshot['head'] | undefined;
  /** Lives as long as the view. */
  readonly memo: Map<string, unknown>;
}

const MEMO_KEY = 'upload/views';

interface Views {
  readonly byPredicate: WeakMap<(refname: string) => boolean, View>;
  readonly byKey: Map<string, View>;
}

/** May `refname` be shown under `mayRead`? The gate's own refs never. */
export function isReadable(refname: string, mayRead: MayRead): boolean {
  return !isInternalRefname(refname) && (mayRead === undefined || mayRead(refname));
}

/** Whether `viewOf` would have to ask about nothing. */
export function hasView(snapshot: RefSnapshot, mayRead: MayRead): boolean {
  return knownView(viewsOf(snapshot), mayRead) !== undefined;
}

/** The view of `snapshot` under `mayRead`; asks about each ref once for each predicate. */
export async function viewOf(snapshot: RefSnapshot, mayRead: MayRead): Promise<View> {
  const views = viewsOf(snapshot);
  const known = knownView(views, mayRead);
  if (known !== undefined) return known;
  const view = share(views, await build(snapshot, mayRead));
  if (mayRead !== undefined) views.byPredicate.set(mayRead, view);
  return view;
}

function knownView(views: Views, mayRead: MayRead): View | undefined {
  return mayRead === undefined ? views.byKey.get('all') : views.byPredicate.get(mayRead);
}

function viewsOf(snapshot: RefSnapshot): Views {
  const found = snapshot.memo.get(MEMO_KEY);
  if (found !== undefined) return found as Views;
  const views: Views = { byPredicate: new WeakMap(), byKey: new Map() };
  snapshot.memo.set(MEMO_KEY, views);
  return views;
}

/** One object for one key; the oldest is forgotten where there are too many. */
function share(views: Views, view: View): View {
  const same = views.byKey.get(view.key);
  if (same !== undefined) return same;
  const oldest = views.byKey.keys().next();
  if (views.byKey.size >= BOUNDS.viewsMax && oldest.done !== true) views.byKey.delete(oldest.value);
  views.byKey.set(view.key, view);
  return view;
}

async function build(snapshot: RefSnapshot, mayRead: MayRead): Promise<View> {
  const refs: RefEntry[] = [];
  const hidden = createHash('sha256');
  let filtered = false;
  let hidesTags = false;
  // `mayRead` may run an owner's rules for each ref.
  const stint = new Stint();
  for (const [index, ref] of snapshot.refs.entries()) {
    if (mayRead !== undefined && stint.isOver) await stint.rest();
    if (isShown(ref, mayRead)) {
      refs.push(ref);
      continue;
    }
    // A client that follows tags is not to get the tag object of a ref of the gate's own either.
    hidesTags ||= ref.peeled !== undefined;
    if (isInternalRefname(ref.refname)) continue;
    filtered = true;
    hidden.update(`${index} `);
  }
  const head = visibleHead({ snapshot, refs, filtered, mayRead });
  const hidesHead = head === undefined && (snapshot.head.target ?? snapshot.head.oid) !== undefined;
  const key = filtered || hidesHead ? `${hidesHead ? '-' : '+'}${hidden.digest('hex')}` : 'all';
  return { snapshot, key, filtered: filtered || hidesHead, hidesTags, refs, head, memo: new Map() };
}

/** A symbolic ref shows another ref's value, so both names must be readable. */
function isShown(ref: RefEntry, mayRead: MayRead): boolean {
  return isReadable(ref.refname, mayRead) && (ref.symref === undefined || isReadable(ref.symref, mayRead));
}

interface HeadQuestion {
  readonly snapshot: RefSnapshot;
  readonly refs: readonly RefEntry[];
  readonly filtered: boolean;
  readonly mayRead: MayRead;
}

function visibleHead({ snapshot, refs, filtered, mayRead }: HeadQuestion): RefSnapshot['head'] | undefined {
  const { target, oid } = snapshot.head;
  if (target !== undefined) return isReadable(target, mayRead) ? snapshot.head : undefined;
  if (oid === undefined) return undefined;
  // Detached: no ref governs it. It is shown where it gives nothing away.
  return !filtered || refs.some((ref) => ref.oid === oid) ? snapshot.head : undefined;
}

/** Whether `oid` is what some ref of the view, or its HEAD, points at, directly or through tags. */
export function tipsAmong(view: View, oids: ReadonlySet<string>): Set<string> {
  const found = new Set<string>();
  if (view.head?.oid !== undefined && oids.has(view.head.oid)) found.add(view.head.oid);
  for (const ref of view.refs) {
    if (found.size === oids.size) break;
    if (oids.has(ref.oid)) found.add(ref.oid);
    if (ref.peeled !== undefined && oids.has(ref.peeled)) found.add(ref.peeled);
  }
  return found;
}

/** Whether the view has this ref. */
export function shows(view: View, refname: string): boolean {
  const entry = view.snapshot.byName.get(refname);
  return entry !== undefined && (!view.filtered || view.refs.includes(entry)) && !isInternalRefname(refname);
}

/** The ref that a short or full name means among the view's, in git's own order (gitrevisions, "<refname>"). */
export function resolveName(view: View, name: string): readonly { readonly refname: string; readonly oid: Oid }[] {
  if (name === 'HEAD') return view.head?.oid === undefined ? [] : [{ refname: 'HEAD', oid: view.head.oid }];
  const found: { readonly refname: string; readonly oid: Oid }[] = [];
  for (const pattern of ['', 'refs/', 'refs/tags/', 'refs/heads/', 'refs/remotes/']) {
    const entry = view.snapshot.byName.get(`${pattern}${name}`);
    if (entry !== undefined && shows(view, entry.refname)) found.push({ refname: entry.refname, oid: entry.oid });
  }
  return found;
}
