/** What a push is told of its secrets: a table for the person, one line for the ref and for the journal. Never a secret. */
import { BOUNDS } from '../base/bounds.ts';
import type { ScanNote } from '../scan/scanner.ts';
import type { Waiver } from '../scan/waivers.ts';
import { WITHHELD, type Placed } from './scan-push.ts';

const OID_CHARS = 8;
export const FINGERPRINT_CHARS = 16;

/** `config/app.env:3`, `message of commit 1a2b3c4d, line 7`. */
export function placeOf({ finding, path, commit }: Placed): string {
  const { kind, oid, inner, line } = finding;
  const short = oid.slice(0, OID_CHARS);
  const by = commit === '' ? '' : `, commit ${commit.slice(0, OID_CHARS)}`;
  switch (kind) {
    case 'blob':
    case 'lfs': {
      const file = `${path === '' ? `${kind} ${short}` : path}${inner === '' ? '' : `!/${inner}`}`;
      return `${file}${line === 0 ? '' : `:${line}`}${by}`;
    }
    case 'commit':
      return `commit ${short}, line ${line} of the commit itself (message, author)`;
    case 'tag':
      return `tag ${short}, line ${line} of the tag itself (message, tagger)`;
    case 'tree':
    case 'path':
      return `a file name in ${path === '' ? 'the top directory' : path}${by}`;
    case 'refname':
      return 'the name of a ref';
    case 'text':
      return path === '' || path === WITHHELD ? `text:${line}` : path;
    default:
      return kind satisfies never;
  }
}

/** One line: the first two, and how many more. */
export function reasonOf(found: readonly Placed[], isQuestion: boolean): string {
  const shown = found.slice(0, 2).map((each) => `${each.finding.rule} in ${placeOf(each)}`);
  const more = found.length > 2 ? ` and ${found.length - 2} more` : '';
  const what = isQuestion ? 'secret scan asks an approver' : 'secret scan';
  return `${what}: ${shown.join('; ')}${more}`;
}

export function unscannedReason(unscanned: readonly ScanNote[]): string {
  const [first] = unscanned;
  const more = unscanned.length > 1 ? ` (and ${unscanned.length - 1} more)` : '';
  return first === undefined ? '' : `secret scan: ${noteText(first)}${more}; what cannot be scanned is not taken`;
}

export function noteText({ item, reason }: ScanNote): string {
  const what = item.path === '' ? `${item.kind} ${item.oid.slice(0, OID_CHARS)}` : item.path;
  return `${what}: ${reason}`;
}

export interface Told {
  readonly hard: readonly Placed[];
  readonly questions: readonly Placed[];
  readonly waived: readonly { readonly placed: Placed; readonly waiver: Waiver }[];
  readonly dropped: number;
  readonly repositoryName: string;
  readonly isReport: boolean;
}

/** For the person who pushes; bounded. */
export function tableOf(told: Told): string {
  const { hard, questions, waived, dropped, isReport } = told;
  const lines: string[] = [];
  const open = [...hard, ...questions];
  if (open.length > 0) {
    const plural = open.length === 1 ? 'a secret' : `${open.length} secrets`;
    lines.push(`gatehouse: ${isReport ? 'this push brings' : 'refused: this push brings'} ${plural}`, '');
    for (const each of open.slice(0, BOUNDS.scanFindingsShownMax)) lines.push(...rowsOf(each));
    const more = open.length - BOUNDS.scanFindingsShownMax + dropped;
    if (more > 0) lines.push(`  and ${more} more`, '');
    lines.push(...adviceOf(told));
  }
  for (const { placed, waiver } of waived.slice(0, BOUNDS.scanFindingsShownMax)) {
    lines.push(`gatehouse: waived by ${waiver.by}: ${placed.finding.rule} in ${placeOf(placed)} (${waiver.reason})`);
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function rowsOf(placed: Placed): readonly string[] {
  const { rule, description, redacted, fingerprint, excused } = placed.finding;
  return [
    `  ${placeOf(placed)}`,
    `    ${description === '' ? rule : `${description} (${rule})`}: ${redacted}`,
    ...(excused === undefined ? [] : [`    said to be none: ${excused}; an approver has to agree`]),
    `    fingerprint ${fingerprint.slice(0, FINGERPRINT_CHARS)}`,
    '',
  ];
}

function adviceOf({ repositoryName, isReport }: Told): readonly string[] {
  if (isReport) return ['  Nothing is refused here for now (scan: report). Take them out, and make new ones.'];
  return [
    '  Take them out of the commits that bring them (git commit --amend, git rebase -i), push again,',
    '  and make new ones: what was sent is no secret any more.',
    '  No secret, or one that may be here? Somebody else who may answer for it:',
    `    scan waive FINGERPRINT --repo ${repositoryName} --reason TEXT`,
  ];
}

/** For the journal: every finding that is shown, one line. */
export function journalText(told: Told): string {
  const { hard, questions, waived, dropped } = told;
  const parts = [
    ...hard.map((each) => `found ${entryText(each)}`),
    ...questions.map((each) => `asked ${entryText(each)}`),
    ...waived.map(({ placed, waiver }) => `waived by ${waiver.by} ${entryText(placed)}`),
  ];
  const more = parts.length - BOUNDS.scanFindingsShownMax + dropped;
  return [...parts.slice(0, BOUNDS.scanFindingsShownMax), ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}

function entryText(placed: Placed): string {
  const { rule, redacted, fingerprint } = placed.finding;
  return `${rule} in ${placeOf(placed)} ${redacted} ${fingerprint.slice(0, FINGERPRINT_CHARS)}`;
}
