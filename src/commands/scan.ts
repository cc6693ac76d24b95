/** `scan ...`: look for secrets outside a push, see the rules in force, answer for findings. */
import type { Parsed } from '../base/fault.ts';
import type { Repository } from '../repository/repository.ts';
import type { ScanReport } from '../scan/scanner.ts';
import type { Waivers } from '../scan/waivers.ts';
import { findReadable } from './answer.ts';
import { done, type Answer, type Call, type Command } from './command.ts';
import { foundJson, foundText, type Found } from './scan-text.ts';
import { NO_SCAN, WAIVER_COMMANDS } from './scan-waiver.ts';
import { count, table } from './table.ts';

/** What the commands ask of the secret scan. */
export interface ScanDesk {
  /** `what`: a revision, `OLD..NEW`, or every ref. */
  repository(question: {
    readonly repository: Repository;
    readonly what: { readonly kind: 'range'; readonly text: string } | { readonly kind: 'all' };
    readonly requestId: string;
    readonly signal: AbortSignal;
  }): Promise<Parsed<Found>>;
  text(content: Uint8Array, path: string, signal: AbortSignal): Promise<ScanReport>;
  rules(): {
    readonly revision: number;
    readonly files: readonly string[];
    readonly rules: readonly { readonly id: string; readonly description: string }[];
  };
  readonly waivers: Pick<Waivers, 'list' | 'grant' | 'revoke' | 'recent' | 'resolve' | 'covering'>;
}

export const SCAN_COMMANDS: readonly Command[] = [
  {
    form: 'scan rules',
    summary: 'List the rules of the secret scan that are in force',
    examples: ['scan rules', 'scan rules --json'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'scan_rules' },
    run: rules,
  },
  ...WAIVER_COMMANDS,
  {
    form: 'scan [REPO] [RANGE]',
    summary: 'Look for secrets in a repository, or in what is given on standard input',
    details: [
      'RANGE is a revision with all of its history, or OLD..NEW: what NEW has over OLD; default HEAD. With --all, every ref. Paths, messages and names are looked at like files. Needs the right to change the settings of the repository.',
      'With --stdin, anybody may have a text of their own looked at. Exit 0: nothing was found, 1: something was, or something could not be looked at. Waived findings are shown and do not count.',
    ],
    flags: [
      { name: '--all', meaning: 'every ref of REPO' },
      { name: '--stdin', meaning: 'what comes on standard input' },
      { name: '--path', value: 'NAME', meaning: 'with --stdin: the name that the text counts as having' },
    ],
    stdin: 'with --stdin, the text to look at, one mebibyte at most',
    examples: ['scan hello', 'scan hello v1.0..main', 'scan hello --all --json', 'scan --stdin --path .env < .env'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'open' },
    run: scan,
  },
];

async function scan(call: Call): Promise<Answer> {
  const { args, parts } = call;
  const name = args.optional('REPO');
  if (parts.scan === undefined) return NO_SCAN;
  if (args.has('--stdin')) {
    if (name !== undefined) return { kind: 'usage', reason: 'give REPO or --stdin, not both' };
    return scanText(call, parts.scan);
  }
  if (args.value('--path') !== undefined) return { kind: 'usage', reason: '--path goes with --stdin' };
  if (name === undefined) return { kind: 'usage', reason: 'REPO is missing (or --stdin)' };
  const range = args.optional('RANGE');
  if (range !== undefined && args.has('--all')) return { kind: 'usage', reason: 'give RANGE or --all, not both' };
  const found = await findReadable(call, name);
  if (found.kind !== 'found') return found;
  const { repository } = found;
  const decision = call.ask({ operation: 'configure', action: 'scan', repository });
  if (decision.kind === 'refused') return { kind: 'forbidden', decision };
  const report = await parts.scan.repository({
    repository,
    what: args.has('--all') ? { kind: 'all' } : { kind: 'range', text: range ?? 'HEAD' },
    requestId: call.origin.id,
    signal: call.signal,
  });
  return report.kind === 'refused' ? report : answered(report.value);
}

async function scanText(call: Call, desk: ScanDesk): Promise<Answer> {
  const content = await call.readStdin();
  if ('kind' in content) return content;
  const report = await desk.text(content, call.args.value('--path') ?? '', call.signal);
  return answered({
    ...report,
    findings: report.findings.map((finding) => ({ finding, path: finding.path, commit: '' })),
  });
}

function answered(found: Found): Answer {
  const isClean = found.findings.every(({ waiver }) => waiver !== undefined) && found.unscanned.length === 0;
  return {
    kind: 'done',
    json: foundJson(found),
    text: foundText(found),
    exit: isClean && found.findingsDropped === 0 ? 0 : 1,
  };
}

async function rules(call: Call): Promise<Answer> {
  if (call.parts.scan === undefined) return NO_SCAN;
  const { revision, files, rules: inForce } = call.parts.scan.rules();
  const rows = inForce.map(({ id, description }) => [id, description]);
  const from = files.length === 0 ? 'the default rules' : `the default rules and ${files.join(', ')}`;
  const text = `${table(rows, ['RULE', 'WHAT'])}${count(inForce.length, 'rule')}: ${from}\n`;
  return done({ revision, files, rules: inForce.map((rule) => ({ ...rule })) }, text);
}
