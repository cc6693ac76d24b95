/** Findings of `scan` as people and programs read them. */
import type { Json } from '../base/json.ts';
import { formatBytes } from '../base/units.ts';
import type { Finding } from '../scan/finding.ts';
import type { ScanReport } from '../scan/scanner.ts';
import { count } from './table.ts';

export interface Found extends Omit<ScanReport, 'findings'> {
  readonly findings: readonly FoundOne[];
}

export interface FoundOne {
  readonly finding: Finding;
  /** As it may be shown. */
  readonly path: string;
  /** Empty: not known, or none. */
  readonly commit: string;
  /** Who answers for it, and why. */
  readonly waiver?: { readonly by: string; readonly reason: string };
}

export function foundJson(found: Found): Json {
  const { findings, items, bytes, unscanned, notes, findingsDropped } = found;
  const noted = (list: ScanReport['notes']): Json => list.map(({ item, reason }) => ({ ...item, reason }));
  return {
    items,
    bytes,
    findings: findings.map(({ finding, path, commit, waiver }) => ({
      rule: finding.rule,
      description: finding.description,
      kind: finding.kind,
      path,
      inner: finding.inner,
      line: finding.line,
      oid: finding.oid,
      commit,
      redacted: finding.redacted,
      fingerprint: finding.fingerprint,
      excused: finding.excused ?? null,
      waived: waiver === undefined ? null : `${waiver.by}: ${waiver.reason}`,
    })),
    more: findingsDropped,
    unscanned: noted(unscanned),
    notes: noted(notes),
  };
}

export function foundText(found: Found): string {
  const { findings, items, bytes, unscanned, notes, findingsDropped } = found;
  const lines = findings.flatMap((one) => linesOf(one));
  for (const { item, reason } of [...unscanned, ...notes]) {
    lines.push(`not scanned: ${item.path === '' ? `${item.kind} ${item.oid}` : item.path}: ${reason}`);
  }
  const all = findings.length + findingsDropped;
  lines.push(`${count(all, 'finding')} in ${count(items, 'thing')}, ${formatBytes(bytes)}`);
  return `${lines.join('\n')}\n`;
}

function linesOf({ finding, path, commit, waiver }: FoundOne): readonly string[] {
  const { kind, oid, inner, line, rule, redacted, fingerprint, excused } = finding;
  const what = path === '' ? (oid === '' ? kind : `${kind} ${oid.slice(0, 12)}`) : path;
  const where = `${what}${inner === '' ? '' : `!/${inner}`}${line === 0 ? '' : `:${line}`}`;
  const by = commit === '' || commit === oid ? '' : `  commit ${commit.slice(0, 12)}`;
  return [
    `${where}  ${rule}  ${redacted}  ${fingerprint.slice(0, 16)}${by}`,
    ...(excused === undefined ? [] : [`    said to be none: ${excused}`]),
    ...(waiver === undefined ? [] : [`    waived by ${waiver.by}: ${waiver.reason}`]),
  ];
}
