/** `audit ...`: what the journal says, and whether it is whole. */
import { JOURNAL_OUTCOMES, type JournalLine } from '../audit/entry.ts';
import type { JournalFilter } from '../audit/read.ts';
import type { VerifyReport } from '../audit/verify.ts';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { parseDuration } from '../base/units.ts';
import { done, type Answer, type Call, type SiteCommand } from './command.ts';

/** What the commands ask of the journal. */
export interface AuditReader {
  read(filter?: JournalFilter): AsyncIterable<JournalLine>;
  follow(filter: JournalFilter, signal: AbortSignal): AsyncIterable<JournalLine>;
  verify(options?: {
    readonly head?: string;
    readonly base?: string;
    readonly signal?: AbortSignal;
  }): Promise<VerifyReport>;
}

const LIMIT_DEFAULT = 100;

export const AUDIT_COMMANDS: readonly SiteCommand[] = [
  {
    form: 'audit log',
    summary: 'Show the audit journal: who asked for what, and what came of it',
    details: ['Shows the last 100 lines that match, or those since a time. With --json, one JSON object a line.'],
    flags: [
      { name: '--repo', value: 'REPO', meaning: 'only about this repository' },
      { name: '--user', value: 'USER', meaning: 'only by this user, also through `as`' },
      { name: '--event', value: 'EVENT', meaning: 'only these: push, fetch, command, ls-refs, login, ...' },
      { name: '--outcome', value: JOURNAL_OUTCOMES.join('|'), meaning: 'only what ended so' },
      { name: '--since', value: 'T', meaning: 'from a time on: 2h, 30d, 2026-01-31, 2026-01-31T12:00:00Z' },
      { name: '--until', value: 'T', meaning: 'up to a time' },
      { name: '--limit', value: 'N', meaning: 'the last N lines; default 100, or all with --since' },
      { name: '--follow', short: '-f', meaning: 'go on with new lines as they come' },
    ],
    examples: [
      'audit log',
      'audit log --repo hello --since 2h',
      'audit log --outcome refused --json',
      'audit log --follow',
    ],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'audit_log' },
    run: showLog,
  },
  {
    form: 'audit verify',
    summary: 'Check that no line of the journal was changed, taken out or cut off',
    details: [
      'Exit 1 where something is wrong, saying where. The head it prints can be kept elsewhere and given later.',
    ],
    flags: [
      {
        name: '--head',
        value: 'SEQ:HASH',
        meaning: 'a head that was printed earlier: that line must be in the journal',
      },
      {
        name: '--base',
        value: 'SEQ:HASH',
        meaning: 'the last line of the files that were moved to an archive: the rest must continue it',
      },
    ],
    examples: ['audit verify', 'audit verify --head 1234:9f86d0…', 'audit verify --base 1000:5feceb…'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'audit_verify' },
    run: verify,
  },
];

/** An age (`2h`) or a date, in milliseconds since 1970. */
export function parseTime(text: string, now: number): Parsed<number> {
  const age = parseDuration(text);
  if (age.kind === 'ok') return ok(now - age.value);
  const isDate = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})?)?$/.test(text);
  const ms = isDate ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms)
    ? refuse('a time is an age (90s, 2h, 30d) or a date (2026-01-31, 2026-01-31T12:00:00Z)')
    : ok(ms);
}

interface Query {
  readonly filter: JournalFilter;
  /** How many of the last lines. */
  readonly limit: number;
}

function queryOf(call: Call): Parsed<Query> {
  const { args, parts } = call;
  const times: { since?: number; until?: number } = {};
  for (const bound of ['since', 'until'] as const) {
    const text = args.value(`--${bound}`);
    if (text === undefined) continue;
    const time = parseTime(text, parts.clock.now());
    if (time.kind === 'refused') return refuse(`--${bound}: ${time.reason}`);
    times[bound] = time.value;
  }
  const outcomeText = args.value('--outcome');
  const outcome = JOURNAL_OUTCOMES.find((known) => known === outcomeText);
  if (outcomeText !== undefined && outcome === undefined)
    return refuse(`--outcome is one of ${JOURNAL_OUTCOMES.join(', ')}`);
  const limitText =
    args.value('--limit') ?? String(times.since === undefined ? LIMIT_DEFAULT : BOUNDS.auditLogLinesMax);
  const limit = /^\d{1,7}$/.test(limitText) ? Number(limitText) : 0;
  if (limit < 1 || limit > BOUNDS.auditLogLinesMax)
    return refuse(`--limit is a number from 1 to ${BOUNDS.auditLogLinesMax}`);
  const [repository, principal, event] = [args.value('--repo'), args.value('--user'), args.value('--event')];
  const filter: JournalFilter = {
    ...times,
    ...(repository === undefined ? {} : { repository }),
    ...(principal === undefined ? {} : { principal }),
    ...(event === undefined ? {} : { event }),
    ...(outcome === undefined ? {} : { outcome }),
  };
  return ok({ filter, limit });
}

async function showLog(call: Call): Promise<Answer> {
  const query = queryOf(call);
  if (query.kind === 'refused') return { kind: 'usage', reason: query.reason };
  const { filter, limit } = query.value;
  const show = (line: JournalLine): Promise<void> =>
    call.print(call.json ? `${JSON.stringify(line)}\n` : `${lineText(line)}\n`);
  let lastSeq = 0;
  if (limit === BOUNDS.auditLogLinesMax) {
    for await (const line of call.parts.journal.read(filter)) {
      call.signal.throwIfAborted();
      lastSeq = line.seq;
      await show(line);
    }
  } else {
    for await (const line of lastLines(call, filter, limit)) {
      lastSeq = line.seq;
      await show(line);
    }
  }
  if (call.args.has('--follow')) {
    // Lines written since the last one shown come first: nothing falls between reading and following.
    const since = filter.since ?? call.parts.clock.now() - 60_000;
    for await (const line of call.parts.journal.follow({ ...filter, since }, call.signal)) {
      if (line.seq > lastSeq) await show(line);
    }
  }
  return { kind: 'done' };
}

/** Few lines are held while the journal is read; of many it is read twice, so that memory stays bounded. */
async function* lastLines(call: Call, filter: JournalFilter, limit: number): AsyncGenerator<JournalLine> {
  const { journal } = call.parts;
  if (limit <= BOUNDS.auditLogHeldMax) {
    let lines: JournalLine[] = [];
    for await (const line of journal.read(filter)) {
      call.signal.throwIfAborted();
      lines.push(line);
      if (lines.length >= 2 * limit) lines = lines.slice(-limit);
    }
    yield* lines.slice(-limit);
    return;
  }
  let count = 0;
  for await (const _ of journal.read(filter)) {
    call.signal.throwIfAborted();
    count += 1;
  }
  let passed = 0;
  for await (const line of journal.read(filter)) {
    call.signal.throwIfAborted();
    passed += 1;
    if (passed > count - limit) yield line;
  }
}

/** One line for a person. */
function lineText(line: JournalLine): string {
  const who = line.asking === undefined ? line.principal : `${line.principal} (asked by ${line.asking})`;
  const what = line.argv === undefined ? (line.repository ?? '') : line.argv.map(quoted).join(' ');
  const refs = (line.refs ?? []).map(
    (ref) => `${ref.name} ${ref.old.slice(0, 8)}..${ref.new.slice(0, 8)} ${ref.result}`,
  );
  const where = line.forwardedTo === undefined ? [] : [`(to ${line.forwardedTo})`];
  const why = line.reason === undefined ? [] : [`: ${line.reason.replaceAll('\n', ' / ')}`];
  const head = `${line.seq} ${line.time} ${line.outcome} ${line.transport} ${line.address} ${who} ${line.event}`;
  return [[head, what, ...refs, ...where].filter((part) => part !== '').join(' '), ...why].join('');
}

/** A word that would break the line, or could be taken for two, in quotes. */
function quoted(word: string): string {
  return /^[\w./:@=+,*~^-]+$/.test(word) ? word : JSON.stringify(word);
}

async function verify(call: Call): Promise<Answer> {
  const [head, base] = [call.args.value('--head'), call.args.value('--base')];
  const report = await call.parts.journal.verify({
    signal: call.signal,
    ...(head === undefined ? {} : { head }),
    ...(base === undefined ? {} : { base }),
  });
  const json = {
    ok: report.ok,
    lines: report.lines,
    files: report.files,
    head: { ...report.head },
    problems: report.problems.map((problem) => ({ ...problem })),
  };
  const summary = `${report.lines} lines in ${report.files} files, head ${report.head.seq}:${report.head.hash}`;
  if (report.ok) return done(json, `the journal is whole: ${summary}\n`);
  const problems = report.problems.map((problem) => `  ${problemText(problem)}\n`).join('');
  return { kind: 'done', json, text: `the journal is damaged: ${summary}\n${problems}`, exit: 1 };
}

function problemText(problem: VerifyReport['problems'][number]): string {
  const place = [problem.file, problem.line].filter((part) => part !== undefined).join(':');
  return place === '' ? problem.what : `${place}: ${problem.what}`;
}
