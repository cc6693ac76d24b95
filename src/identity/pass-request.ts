/** What may stand in a pass: names, patterns, ranges, and how long it lives. The same for people, and for rules about CI. */
import { BOUNDS } from '../base/bounds.ts';
import { parseCidr } from '../base/cidr.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { formatDuration, parseDuration } from '../base/units.ts';
import { parseRefname } from '../git/refname.ts';
import { parseRepositoryName } from '../repository/name.ts';
import { parseLine } from '../repository/text.ts';
import type { PassScope } from './pass-scope.ts';
import { shown } from './roster.ts';

/** A scope as it was asked for. Absent: no. */
export interface AskedScope {
  readonly repositories: readonly string[];
  readonly read?: boolean;
  readonly push?: readonly string[];
  readonly createOnly?: boolean;
  readonly rewind?: boolean;
  readonly delete?: boolean;
  readonly from?: readonly string[];
}

export function parseScope(asked: AskedScope): Parsed<PassScope> {
  const { read = false, push = [], createOnly = false, rewind = false, delete: mayDelete = false, from = [] } = asked;
  const repositories = each(asked.repositories, { what: 'repositories', parse: parseRepositoryPattern });
  if (repositories.kind === 'refused') return repositories;
  if (repositories.value.length === 0) return refuse('a pass is about one repository or more: --repo NAME');
  const refs = each(push, { what: 'ref patterns', parse: parseRefPattern });
  if (refs.kind === 'refused') return refs;
  const ranges = each(from, { what: 'ranges of addresses', parse: parseCidr });
  if (ranges.kind === 'refused') return ranges;
  if (!read && refs.value.length === 0) return refuse('a pass that may neither read nor push is of no use');
  if (refs.value.length === 0 && (createOnly || rewind || mayDelete))
    return refuse('creating, rewinding and deleting go with a ref pattern to push');
  if (createOnly && (rewind || mayDelete)) return refuse('a pass that only creates neither rewinds nor deletes');
  return ok({
    repositories: repositories.value,
    read,
    push: refs.value,
    createOnly,
    rewind,
    delete: mayDelete,
    from: ranges.value,
  });
}

/** A repository's name with `*` for any characters. */
export function parseRepositoryPattern(text: string): Parsed<string> {
  const pattern = text.replace(/\.git$/, '');
  // A star stands for characters that a name may have: one of them in its place leaves a name.
  const name = parseRepositoryName(pattern.replaceAll(/\*+/g, 'x'));
  if (name.kind === 'refused' || pattern.length > BOUNDS.repositoryNameBytesMax)
    return refuse(`${shown(text)} is no repository and no pattern of some: org/app, org/*, *`);
  return ok(pattern.replaceAll(/\*+/g, '*'));
}

/** A full refname with `*` for any characters. */
export function parseRefPattern(text: string): Parsed<string> {
  const isGiven = text === 'refs/*' || parseRefname(text.replaceAll(/\*+/g, 'x')) !== undefined;
  if (!isGiven) return refuse(`${shown(text)} is no full refname and no pattern of some: refs/heads/agent/*`);
  return ok(text.replaceAll(/\*+/g, '*'));
}

/** `2h`: milliseconds. A pass always ends. */
export function parseLife(text: string, lifeMsMax: number): Parsed<number> {
  const life = parseDuration(text);
  if (life.kind === 'refused') return life;
  if (life.value < BOUNDS.passLifeMsMin) return refuse('a pass lives at least a second');
  if (life.value > lifeMsMax) return refuse(`a pass lives at most ${formatDuration(lifeMsMax)} here (pass.life-max)`);
  return life;
}

/** What a pass is for, one line; empty: it was not said. */
export function parsePurpose(text: string): Parsed<string> {
  return parseLine(text, { what: 'a purpose', bytesMax: BOUNDS.passPurposeBytesMax });
}

export function parsePushesMax(count: number): Parsed<number> {
  const isCount = Number.isSafeInteger(count) && count >= 1 && count <= BOUNDS.passPushesMax;
  return isCount ? ok(count) : refuse(`a number of pushes is between 1 and ${BOUNDS.passPushesMax}`);
}

function each(
  texts: readonly string[],
  { what, parse }: { readonly what: string; readonly parse: (text: string) => Parsed<string> },
): Parsed<readonly string[]> {
  if (texts.length > BOUNDS.passPatternsMax) return refuse(`a pass has at most ${BOUNDS.passPatternsMax} ${what}`);
  const parsed: string[] = [];
  for (const text of texts) {
    const one = parse(text);
    if (one.kind === 'refused') return one;
    if (!parsed.includes(one.value)) parsed.push(one.value);
  }
  return ok(parsed);
}
