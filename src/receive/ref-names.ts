/** Rules for the names of refs that need no object: what nobody may create, whatever the policy says. */
import type { RefSnapshot } from '../git/ref-cache.ts';
import { isInternalRefname, parseRefname, type Refname } from '../git/refname.ts';

/** Characters that do not show, or that turn the direction of text: two names that look alike are not alike. */
const INVISIBLE =
  /[\u0080-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffd]|\u{e0000}|[\u{e0020}-\u{e007f}]/u;

/** The refname of an update, or why it cannot be one. */
export function readRefname(name: string): { readonly refname: Refname } | { readonly reason: string } {
  const refname = parseRefname(name);
  if (refname === undefined) return { reason: 'this is not a valid refname below refs/' };
  if (isInternalRefname(refname)) return { reason: 'refs/gatehouse/ belongs to the gate' };
  return { refname };
}

/** Why no ref of this name is created; undefined where it may be. Names that exist may be updated and deleted. */
export function creationProblem(refname: Refname): string | undefined {
  const short = refname.replace(/^refs\/[^/]+\//, '');
  if (INVISIBLE.test(refname)) return 'the refname has characters that do not show';
  if (refname.normalize('NFC') !== refname) return 'the refname is not in Unicode normal form C';
  const isNamed = refname.startsWith('refs/heads/') || refname.startsWith('refs/tags/');
  if (!isNamed) return undefined;
  if (short.startsWith('-')) return 'the name of a branch or tag does not start with "-"';
  if (short === 'HEAD') return 'a branch or tag is not named HEAD';
  if (/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i.test(short))
    return 'the name of a branch or tag does not look like an object id';
  return undefined;
}

/** The ref that stands in the way of creating `refname`: `a` and `a/b` cannot both be. */
export function nameInTheWay(refname: Refname, snapshot: RefSnapshot): string | undefined {
  for (let at = refname.lastIndexOf('/'); at > 'refs/'.length; at = refname.lastIndexOf('/', at - 1)) {
    const above = refname.slice(0, at);
    if (snapshot.byName.has(above)) return above;
  }
  return firstBelow(`${refname}/`, snapshot);
}

/** The first ref whose name starts with `prefix`, found by bisection: the refs are sorted by bytes. */
function firstBelow(prefix: string, { refs }: RefSnapshot): string | undefined {
  const wanted = Buffer.from(prefix);
  let low = 0;
  let high = refs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = refs[middle];
    if (entry !== undefined && Buffer.compare(Buffer.from(entry.refname), wanted) < 0) low = middle + 1;
    else high = middle;
  }
  const found = refs[low]?.refname;
  return found?.startsWith(prefix) === true ? found : undefined;
}

/** Names of one push that stand in each other's way; all of them, with the other one's name. */
export function conflictsAmong(names: readonly string[]): ReadonlyMap<string, string> {
  const known = new Set(names);
  const conflicts = new Map<string, string>();
  for (const name of names) {
    for (let at = name.lastIndexOf('/'); at > 'refs/'.length; at = name.lastIndexOf('/', at - 1)) {
      const above = name.slice(0, at);
      if (!known.has(above)) continue;
      conflicts.set(name, above);
      conflicts.set(above, name);
    }
  }
  return conflicts;
}
