/** Filter specifications of partial clones (git-rev-list, `--filter`), checked before git sees them. */
import { type Parsed, ok, refuse } from '../base/fault.ts';

const SPEC_CHARACTERS_MAX = 1_024;
const NESTING_MAX = 3;
const NUMBER = /^[0-9]{1,15}[kKmMgG]?$/;
/** Characters that a part of `combine:` must carry percent-encoded (list-objects-filter-options.c). */
const RESERVED = /[\x00-\x20~`!@#$^&*()[\]{}\\;'",<>?]/;

/** The specification as given where git would take it. `sparse:oid` is refused: it names an object by any expression. */
export function parseFilterSpec(text: string): Parsed<string> {
  if (text.length > SPEC_CHARACTERS_MAX) return refuse('filter is too long');
  const reason = problemOf(text, NESTING_MAX);
  return reason === undefined ? ok(text) : refuse(reason);
}

function problemOf(spec: string, nesting: number): string | undefined {
  if (spec === 'blob:none') return undefined;
  const [, kind = '', value = ''] =
    /^(blob:limit=|tree:|object:type=|sparse:oid=|sparse:path=|combine:)(.*)$/s.exec(spec) ?? [];
  switch (kind) {
    case 'blob:limit=':
      return NUMBER.test(value) ? undefined : 'invalid filter-spec: expected blob:limit=<size>';
    case 'tree:':
      return NUMBER.test(value) ? undefined : "expected 'tree:<depth>'";
    case 'object:type=':
      return /^(?:blob|tree|commit|tag)$/.test(value) ? undefined : 'not a valid object type in object:type=<type>';
    case 'sparse:oid=':
      return "filter 'sparse:oid' not supported";
    case 'sparse:path=':
      return 'sparse:path filters support has been dropped';
    case 'combine:':
      return problemOfCombined(value, nesting);
    default:
      return 'invalid filter-spec';
  }
}

function problemOfCombined(value: string, nesting: number): string | undefined {
  if (value === '') return 'expected something after combine:';
  if (nesting === 0) return 'filter is nested too deeply';
  for (const part of value.split('+')) {
    if (RESERVED.test(part)) return 'must escape a reserved character in sub-filter-spec';
    const decoded = percentDecoded(part);
    const problem = decoded === undefined ? 'invalid filter-spec' : problemOf(decoded, nesting - 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function percentDecoded(text: string): string | undefined {
  try {
    const decoded = decodeURIComponent(text);
    // The specification becomes an argument of a child: nothing that ends or splits one.
    return /[\x00-\x1f\x7f]/.test(decoded) ? undefined : decoded;
  } catch {
    return undefined;
  }
}
