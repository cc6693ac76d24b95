/** `scan waive ...`: who answers for a finding of the secret scan, and for how long. */
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { parseDuration } from '../base/units.ts';
import type { Principal } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';
import { ALL_REPOSITORIES, isOthersFinding, type Waiver } from '../scan/waivers.ts';
import { findReadable } from './answer.ts';
import { done, type Answer, type Call, type Command } from './command.ts';
import { shown } from './find.ts';
import { shortTime, table } from './table.ts';

const SCOPE_FLAGS = [
  { name: '--repo', value: 'REPO', meaning: 'in this repository' },
  { name: '--all', meaning: 'in every repository' },
] as const;

export const NO_SCAN = refuse('this house has no secret scan');

export const WAIVER_COMMANDS: readonly Command[] = [
  {
    form: 'scan waive FINGERPRINT',
    summary: 'Answer for a finding of the secret scan: pushes that bring it pass',
    details: [
      'Who may change the settings of a repository may waive what others pushed there; with --all, or where it is not known who pushed it, an administrator. Nobody waives what they pushed themselves. The first 12 digits of a fingerprint of late are enough.',
    ],
    flags: [
      ...SCOPE_FLAGS,
      { name: '--reason', value: 'TEXT', meaning: 'why it may be here; needed' },
      { name: '--expires', value: 'AGE', meaning: 'how long that holds: 90d (the default), 12h; at most two years' },
    ],
    examples: [
      "scan waive 3f2a91c07b5d --repo hello --reason 'key of the test server, revoked'",
      "scan waive 3f2a91c07b5d --all --reason 'public example key' --expires 30d",
    ],
    scope: 'admin',
    permission: { kind: 'open' },
    run: waive,
  },
  {
    form: 'scan unwaive FINGERPRINT',
    summary: 'Take a waiver back',
    flags: [...SCOPE_FLAGS],
    examples: ['scan unwaive 3f2a91c07b5d --repo hello', 'scan unwaive 3f2a91c07b5d --all'],
    scope: 'admin',
    permission: { kind: 'open' },
    run: unwaive,
  },
  {
    form: 'scan waivers',
    summary: 'List findings that somebody answers for',
    flags: [{ name: '--repo', value: 'REPO', meaning: 'only those that count there' }],
    examples: ['scan waivers', 'scan waivers --repo hello --json'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'open' },
    run: listWaivers,
  },
];

interface Scope {
  readonly repository: Repository | undefined;
  readonly scope: string;
}

/** Where a waiver counts, and whether the asker may say so. */
async function scopeOf(call: Call, action: string): Promise<Parsed<Scope> | Answer> {
  const name = call.args.value('--repo');
  if ((name === undefined) !== call.args.has('--all')) return { kind: 'usage', reason: 'give --repo REPO or --all' };
  if (name === undefined) {
    const decision = call.ask({ operation: 'administer', action });
    if (decision.kind === 'refused') return { kind: 'forbidden', decision };
    return ok({ repository: undefined, scope: ALL_REPOSITORIES });
  }
  const found = await findReadable(call, name);
  if (found.kind !== 'found') return found;
  const { repository } = found;
  const decision = call.ask({ operation: 'configure', action, repository });
  return decision.kind === 'refused' ? { kind: 'forbidden', decision } : ok({ repository, scope: repository.id });
}

async function waive(call: Call): Promise<Answer> {
  const { args, parts } = call;
  const desk = parts.scan;
  if (desk === undefined) return NO_SCAN;
  const terms = termsOf(call);
  if (terms.kind === 'refused') return { kind: 'usage', reason: terms.reason };
  const where = await scopeOf(call, 'scan_waive');
  if (where.kind !== 'ok') return where;
  const fingerprint = await desk.waivers.resolve(args.text('FINGERPRINT'));
  if (fingerprint.kind === 'refused') return fingerprint;
  const recent = await desk.waivers.recent(fingerprint.value);
  const names = namesOf(call.principal);
  if (recent !== undefined && names.some((name) => recent.pushers.includes(name))) {
    return refuse('nobody waives what they pushed themselves: ask somebody else');
  }
  if (!isOthersFinding(recent, names)) {
    const decision = call.ask({ operation: 'administer', action: 'scan_waive' });
    if (decision.kind === 'refused') {
      return refuse('it is not known who pushed that, so only an administrator waives it');
    }
  }
  const granted = await desk.waivers.grant({
    fingerprint: fingerprint.value,
    scope: where.value.scope,
    repositoryName: where.value.repository?.name ?? '',
    reason: terms.value.reason,
    by: names.join(' as '),
    expiresAt: parts.clock.now() + terms.value.lifeMs,
    rule: recent?.rule ?? '',
    redacted: recent?.redacted ?? '',
  });
  if (granted.kind === 'refused') return granted;
  const what = recent === undefined ? 'it' : `${recent.rule} in ${recent.place}`;
  return done(
    waiverJson(granted.value),
    `waived ${scopeText(granted.value)} until ${shortTime(granted.value.expiresAt)}: ${what}\n`,
  );
}

function termsOf({ args }: Call): Parsed<{ readonly reason: string; readonly lifeMs: number }> {
  const reason = args.value('--reason')?.trim() ?? '';
  if (reason === '') return refuse('--reason TEXT is missing: say why it may be here');
  if (Buffer.byteLength(reason) > BOUNDS.waiverReasonBytesMax || /[\x00-\x1f\x7f]/.test(reason)) {
    return refuse(`a reason is one line of ${BOUNDS.waiverReasonBytesMax} bytes at most`);
  }
  const text = args.value('--expires');
  const life = text === undefined ? ok(BOUNDS.waiverMs) : parseDuration(text);
  if (life.kind === 'refused') return refuse(`--expires: ${life.reason}`);
  if (life.value < 60_000 || life.value > BOUNDS.waiverMsMax)
    return refuse('--expires is from one minute to two years');
  return ok({ reason, lifeMs: life.value });
}

/** The last first: who really asks, then as whom. */
function namesOf(principal: Principal): readonly string[] {
  if (principal.kind === 'anonymous') return ['anonymous'];
  return principal.asking === undefined ? [principal.name] : [principal.asking.name, principal.name];
}

async function unwaive(call: Call): Promise<Answer> {
  const desk = call.parts.scan;
  if (desk === undefined) return NO_SCAN;
  const where = await scopeOf(call, 'scan_waive');
  if (where.kind !== 'ok') return where;
  const fingerprint = await desk.waivers.resolve(call.args.text('FINGERPRINT'));
  if (fingerprint.kind === 'refused') return fingerprint;
  const gone = await desk.waivers.revoke(fingerprint.value, where.value.scope);
  if (!gone) return refuse(`nothing is waived there with the fingerprint ${shown(call.args.text('FINGERPRINT'))}`);
  return done({ fingerprint: fingerprint.value }, 'it is waived no more\n');
}

async function listWaivers(call: Call): Promise<Answer> {
  const desk = call.parts.scan;
  if (desk === undefined) return NO_SCAN;
  const name = call.args.value('--repo');
  const all = await desk.waivers.list();
  if (name === undefined) {
    const decision = call.ask({ operation: 'administer', action: 'scan_waivers' });
    return decision.kind === 'refused' ? { kind: 'forbidden', decision } : shownWaivers(call, all);
  }
  const found = await findReadable(call, name);
  if (found.kind !== 'found') return found;
  const { repository } = found;
  const decision = call.ask({ operation: 'configure', action: 'scan_waivers', repository });
  if (decision.kind === 'refused') return { kind: 'forbidden', decision };
  return shownWaivers(
    call,
    all.filter(({ scope }) => scope === repository.id || scope === ALL_REPOSITORIES),
  );
}

function shownWaivers(call: Call, waivers: readonly Waiver[]): Answer {
  const now = call.parts.clock.now();
  const rows = waivers.map((waiver) => [
    waiver.fingerprint.slice(0, 16),
    waiver.rule === '' ? '-' : waiver.rule,
    waiver.scope === ALL_REPOSITORIES ? '(all)' : waiver.repositoryName,
    waiver.by,
    waiver.expiresAt > now ? shortTime(waiver.expiresAt) : 'expired',
    waiver.reason,
  ]);
  const text = table(rows, ['FINGERPRINT', 'RULE', 'WHERE', 'BY', 'UNTIL', 'WHY']);
  return done(
    waivers.map((waiver) => waiverJson(waiver)),
    rows.length === 0 ? 'nothing is waived\n' : text,
  );
}

function waiverJson(waiver: Waiver): Readonly<Record<string, string | number>> {
  return { ...waiver };
}

function scopeText({ scope, repositoryName }: Waiver): string {
  return scope === ALL_REPOSITORIES ? 'in every repository' : `in ${repositoryName}`;
}
