/**
 * The step that keeps secrets in: everything new that a push brings is looked at before anything of it goes anywhere. What
 * cannot be looked at is not taken.
 */
import type { JournalEntry } from '../../audit/entry.ts';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { isZeroOid } from '../../git/oid.ts';
import { describeCredential, principalLabel, type Principal } from '../../identity/principal.ts';
import type { RepositoryFacts } from '../../repository/repository.ts';
import type { Waiver, Waivers } from '../../scan/waivers.ts';
import { oneLine } from '../report.ts';
import { scanPush, type Placed, type ScannedPush, type ScanPushParts } from '../scan-push.ts';
import { journalText, noteText, placeOf, reasonOf, tableOf, unscannedReason, type Told } from '../scan-words.ts';
import type { Push, RefUpdate, Step, Verdict } from '../step.ts';

export const SCAN_MODES = ['on', 'off', 'report'] as const;
export type ScanMode = (typeof SCAN_MODES)[number];

export const SCAN_OUTCOMES = ['refused', 'held', 'waived', 'reported', 'known'] as const;
export type ScanOutcome = (typeof SCAN_OUTCOMES)[number];

export interface SecretScanParts extends ScanPushParts {
  readonly waivers: Pick<Waivers, 'covering' | 'note'>;
  readonly modeOf: (repository: RepositoryFacts) => ScanMode;
  readonly journal: { append(entry: JournalEntry): Promise<void> };
  readonly metrics: { scanFindings(outcome: ScanOutcome, count: number): void; scanBytes(count: number): void };
  readonly clock: Clock;
}

const NOTES_SHOWN_MAX = 5;

export function createSecretScanStep(parts: SecretScanParts): Step {
  return {
    name: 'secret-scan',
    async check(push) {
      const mode = parts.modeOf(push.repository);
      const bringing = push.updates.filter(({ newOid }) => !isZeroOid(newOid));
      if (mode === 'off' || bringing.length === 0) return [];
      const scanned = await scanWithin(parts, push);
      if ('refusal' in scanned)
        return mode === 'report' ? tellOnly(push, scanned.refusal) : all(bringing, scanned.refusal);
      return judge({ parts, push, bringing, scanned, isReport: mode === 'report' });
    },
  };
}

/** What the repository's own setting says; mirrors are scanned where it says nothing. */
export function scanModeOf(
  repository: RepositoryFacts,
  options: { readonly isMirror: (repositoryId: string) => boolean; readonly house: ScanMode },
): ScanMode {
  const own = SCAN_MODES.find((mode) => mode === repository.settings['scan']);
  return own ?? (options.isMirror(repository.id) ? 'on' : options.house);
}

/** @throws Fault where the scan failed for no fault of the push's. */
async function scanWithin(parts: SecretScanParts, push: Push): Promise<ScannedPush | { readonly refusal: string }> {
  const late = new AbortController();
  const cancel = parts.clock.after(parts.deadlineMs, () =>
    late.abort(new Fault('timeout', 'secret scan took too long')),
  );
  try {
    return await scanPush(parts, push, AbortSignal.any([push.signal, late.signal]));
  } catch (error) {
    if (push.signal.aborted) throw error;
    if (late.signal.aborted || (error instanceof Fault && error.code === 'timeout')) {
      return {
        refusal: `the secret scan took longer than ${Math.round(parts.deadlineMs / 1000)} s: push in smaller parts`,
      };
    }
    if (error instanceof Fault && error.code === 'bad-input' && error.publicMessage !== undefined) {
      return { refusal: error.publicMessage };
    }
    throw error;
  } finally {
    cancel();
  }
}

interface Judgement {
  readonly parts: SecretScanParts;
  readonly push: Push;
  readonly bringing: readonly RefUpdate[];
  readonly scanned: ScannedPush;
  readonly isReport: boolean;
}

async function judge({ parts, push, bringing, scanned, isReport }: Judgement): Promise<readonly Verdict[]> {
  const { waived, open } = await sortOut(parts, push, scanned.found);
  const hard = open.filter(({ finding }) => finding.excused === undefined);
  const questions = open.filter(({ finding }) => finding.excused !== undefined);
  const told: Told = {
    hard,
    questions,
    waived,
    dropped: scanned.dropped,
    repositoryName: push.repository.name,
    isReport,
  };
  count(parts, scanned, told);
  const table = tableOf(told);
  if (table !== '') push.tell(table);
  const notes = [...scanned.unscanned, ...scanned.notes].slice(0, NOTES_SHOWN_MAX);
  for (const note of notes) push.tell(`gatehouse: not scanned: ${noteText(note)}\n`);
  if (open.length > 0) {
    const noted = open.map((placed) => ({ finding: placed.finding, place: oneLine(placeOf(placed)) }));
    await parts.waivers.note(noted, namesOf(push.principal));
  }
  if (table !== '') await parts.journal.append(entryOf(push, told));
  if (isReport) return [];
  const verdicts = bringing.flatMap((update) => verdictOf(update, { hard, questions, scanned }) ?? []);
  // A finding that no ref is refused for would be told and let through.
  return open.length > 0 && verdicts.length === 0 ? all(bringing, reasonOf(open, false)) : verdicts;
}

async function sortOut(
  { waivers }: SecretScanParts,
  push: Push,
  found: readonly Placed[],
): Promise<{ readonly waived: { readonly placed: Placed; readonly waiver: Waiver }[]; readonly open: Placed[] }> {
  const waived: { readonly placed: Placed; readonly waiver: Waiver }[] = [];
  const open: Placed[] = [];
  for (const placed of found) {
    const waiver = await waivers.covering(placed.finding.fingerprint, push.repository.id);
    if (waiver === undefined) open.push(placed);
    else waived.push({ placed, waiver });
  }
  return { waived, open };
}

interface Grounds {
  readonly hard: readonly Placed[];
  readonly questions: readonly Placed[];
  readonly scanned: ScannedPush;
}

/** A question is one only where nothing else is wrong with the ref. */
function verdictOf({ refname }: RefUpdate, { hard, questions, scanned }: Grounds): Verdict | undefined {
  const concerns = ({ refnames }: Placed): boolean => refnames.size === 0 || refnames.has(refname);
  const own = hard.filter(concerns);
  const [first] = own;
  if (first !== undefined) return { refname, reason: reasonOf(own, false), rule: `secret-scan/${first.finding.rule}` };
  // Findings beyond the bound are of any ref; what was not looked at may hold anything.
  if (scanned.dropped > 0) return { refname, reason: `secret scan: ${scanned.dropped} secrets more than are listed` };
  if (scanned.unscanned.length > 0) return { refname, reason: unscannedReason(scanned.unscanned) };
  const asked = questions.filter(concerns);
  const [question] = asked;
  if (question === undefined) return undefined;
  return { refname, reason: reasonOf(asked, true), rule: `secret-scan/${question.finding.rule}`, hold: true };
}

function count({ metrics }: SecretScanParts, scanned: ScannedPush, told: Told): void {
  metrics.scanBytes(scanned.bytes);
  const [hard, held] = [told.hard.length + scanned.dropped, told.questions.length];
  const numbers: readonly (readonly [ScanOutcome, number])[] = [
    ['refused', told.isReport ? 0 : hard],
    ['held', told.isReport ? 0 : held],
    ['reported', told.isReport ? hard + held : 0],
    ['waived', told.waived.length],
    ['known', scanned.known],
  ];
  for (const [outcome, number] of numbers) if (number > 0) metrics.scanFindings(outcome, number);
}

/** Who is behind it: whoever acts for another did it as well. */
export function namesOf(principal: Principal): readonly string[] {
  if (principal.kind === 'anonymous') return ['anonymous'];
  return [principal.name, ...(principal.asking === undefined ? [] : [principal.asking.name])];
}

function entryOf(push: Push, told: Told): JournalEntry {
  const { principal, repository, requestId, origin } = push;
  const isRefused = !told.isReport && told.hard.length + told.questions.length + told.dropped > 0;
  return {
    event: 'scan',
    outcome: isRefused ? 'refused' : 'served',
    request: requestId,
    transport: origin?.transport ?? 'local',
    address: origin?.address ?? 'local',
    principal: principalLabel(principal),
    ...(principal.kind === 'anonymous' ? {} : { credential: describeCredential(principal.credential) }),
    ...(principal.kind === 'user' && principal.asking !== undefined ? { asking: principal.asking.name } : {}),
    repository: repository.name,
    reason: oneLineLong(journalText(told)),
  };
}

const JOURNAL_CHARS_MAX = 8_000;

function oneLineLong(text: string): string {
  return text
    .replaceAll(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '?')
    .slice(0, JOURNAL_CHARS_MAX);
}

function tellOnly(push: Push, text: string): readonly Verdict[] {
  push.tell(`gatehouse: ${text}\n`);
  return [];
}

function all(bringing: readonly RefUpdate[], reason: string): readonly Verdict[] {
  return bringing.map(({ refname }) => ({ refname, reason }));
}
