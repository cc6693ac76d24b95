/** `hold ...`: pushes that wait for somebody's word. Who may read a repository sees them; who may approve is a rule's to say. */
import type { Decision, Question } from '../access/decision.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { principalLabel, type Principal } from '../identity/principal.ts';
import type { Approval } from '../receive/apply-held.ts';
import type { Decider } from '../receive/hold-desk.ts';
import { holdLabel, type HeldPush } from '../receive/hold-record.ts';
import type { DamagedHold } from '../receive/hold-records.ts';
import type { RefView } from '../receive/hold-view.ts';
import type { Repository } from '../repository/repository.ts';
import { findReadable } from './answer.ts';
import { done, type Answer, type Call, type Command } from './command.ts';
import { shown } from './find.ts';
import { heldJson, heldText } from './hold-text.ts';
import { shortTime, table } from './table.ts';

/** What the commands ask of the held pushes (`receive/hold-desk.ts`). */
export interface HoldDeskParts {
  list(): AsyncIterable<HeldPush>;
  waiting(): AsyncIterable<HeldPush>;
  find(text: string): Promise<{ readonly held: HeldPush; readonly isLatest: boolean } | undefined>;
  /** Ids whose records are damaged. */
  readonly damaged: ReadonlySet<string>;
  findDamaged(text: string): Promise<DamagedHold | undefined>;
  removeDamaged(damaged: DamagedHold, decider: Decider): Promise<Parsed<number>>;
  repositoryOf(held: HeldPush): Promise<Repository | undefined>;
  view(
    held: HeldPush,
    repository: Repository,
    options: { readonly patch: boolean; readonly requestId: string; readonly signal: AbortSignal },
  ): Promise<readonly RefView[]>;
  approve(held: HeldPush, decider: Decider & Pick<Approval, 'signal' | 'tell' | 'confirm'>): Promise<Parsed<HeldPush>>;
  refuse(held: HeldPush, decider: Decider): Promise<Parsed<HeldPush>>;
  cancel(held: HeldPush, decider: Decider): Promise<Parsed<HeldPush>>;
}

const REASON = { name: '--reason', value: 'TEXT', meaning: 'why; the pusher and the journal read it' };

export const HOLD_COMMANDS: readonly Command[] = [
  {
    form: 'hold list [REPO]',
    summary: 'List pushes that wait for an approval',
    details: [
      'Those of repositories that you may read. Administrators are shown damaged records as well, of which nothing can be told but their ids.',
    ],
    flags: [{ name: '--all', meaning: 'decided ones too, as long as they are on record' }],
    examples: ['hold list', 'hold list api --all', 'hold list --json'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'open' },
    run: list,
  },
  {
    form: 'hold show ID',
    summary: 'Show a held push: who, which refs, why, and what it would bring',
    flags: [{ name: '--diff', meaning: 'with the patch, as far as it is not too long' }],
    examples: ['hold show k7m2pq9x', 'hold show k7m2pq9x --diff'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'open' },
    run: show,
  },
  {
    form: 'hold approve ID',
    summary: 'Let a held push through: all of its refs, or none',
    details: [
      'What is approved is this push: these refs, from these old values to these new ones, by this pusher, into this repository. It goes through every rule and check once more; where a ref has moved, or the pusher may not push any more, nothing happens and the answer says why.',
      'Nobody approves their own push, nor what was pushed by a pass that they issued. Where other reasons are found than `hold show` told, the id gets a number behind a dot: look again, and approve that.',
    ],
    flags: [REASON],
    examples: ["hold approve k7m2pq9x --reason 'read it, tests pass'"],
    scope: 'admin',
    permission: { kind: 'open' },
    run: approve,
  },
  {
    form: 'hold refuse ID',
    summary: 'Refuse a held push; its objects are removed',
    details: [
      'A push whose record is damaged is removed in the same way, by an administrator: nobody can tell any more whose it was or what it brought.',
    ],
    flags: [REASON],
    examples: ["hold refuse k7m2pq9x --reason 'not before the release'"],
    scope: 'admin',
    permission: { kind: 'open' },
    run: refusePush,
  },
  {
    form: 'hold cancel ID',
    summary: 'Take your own held push back',
    flags: [REASON],
    examples: ['hold cancel k7m2pq9x'],
    scope: 'write',
    permission: { kind: 'open' },
    run: (call: Call) => decideOn(call, 'cancel'),
  },
];

/** A held push that the asker may know of. */
interface Found {
  readonly held: HeldPush;
  readonly isLatest: boolean;
  readonly repository: Repository;
  readonly desk: HoldDeskParts;
}

async function list(call: Call): Promise<Answer> {
  const { holds } = call.parts;
  const name = call.args.optional('REPO');
  const asked = name === undefined ? undefined : await findReadable(call, name);
  if (asked !== undefined && asked.kind !== 'found') return asked;
  if (holds === undefined) return done([], '');
  const repositories = new Map<string, Promise<Repository | undefined>>();
  const seen: HeldPush[] = [];
  for await (const held of call.args.has('--all') ? holds.list() : holds.waiting()) {
    const { id } = held.repository;
    if (asked !== undefined && asked.repository.id !== id) continue;
    const repository = repositories.get(id) ?? holds.repositoryOf(held);
    repositories.set(id, repository);
    const found = await repository;
    if (found !== undefined && maySee(call, held, found)) seen.push(held);
  }
  seen.sort((a, b) => a.createdAt - b.createdAt);
  const rows = seen.map((held) => {
    const more = held.refs.length > 1 ? ` and ${held.refs.length - 1} more` : '';
    const what = `${held.refs[0]?.refname ?? ''}${more}`;
    const pusher = principalLabel(held.principal);
    return [holdLabel(held), held.state, held.repository.name, pusher, what, shortTime(held.expiresAt)];
  });
  const damaged = asked === undefined ? await damagedOf(call, holds) : [];
  return done(
    [...seen.map((held) => heldJson(held)), ...damaged.map((id) => ({ id, state: 'damaged' }))],
    table([...rows, ...damaged.map((id) => [id, 'damaged', '', '', '', ''])]),
  );
}

/** Ids of damaged records, for who may administer the site. */
async function damagedOf(call: Call, holds: HoldDeskParts): Promise<readonly string[]> {
  if (holds.damaged.size === 0 || !mayTidy(call)) return [];
  const found: string[] = [];
  for (const id of [...holds.damaged].sort()) if ((await holds.findDamaged(id)) !== undefined) found.push(id);
  return found;
}

function mayTidy(call: Call): boolean {
  return call.ask({ operation: 'administer', action: 'holdremove' }).kind === 'allowed';
}

async function show(call: Call): Promise<Answer> {
  const found = await findHeld(call);
  if ('kind' in found) return found;
  const { held, repository, desk } = found;
  const patch = call.args.has('--diff');
  const views = await desk.view(held, repository, { patch, requestId: call.origin.id, signal: call.signal });
  return done(heldJson(held, views), heldText(held, views, repository.name));
}

async function approve(call: Call): Promise<Answer> {
  const found = await findHeld(call);
  if ('kind' in found) return found;
  const { held, repository, desk, isLatest } = found;
  const { principal, origin, signal } = call;
  const refused = mayDecide(call, principal, { held, repository });
  if (refused !== undefined) return { kind: 'forbidden', decision: refused };
  const reason = call.args.value('--reason');
  if (reason === undefined || reason.trim() === '')
    return { kind: 'usage', reason: '--reason TEXT is missing: say why' };
  if (!isLatest) return refuse(changedWords(held));
  const decided = await desk.approve(held, {
    principal,
    reason,
    requestId: origin.id,
    signal,
    tell: (text) => {
      call.warn(text.endsWith('\n') ? text : `${text}\n`).catch(() => {});
    },
    confirm: () => stillMay(call, held),
  });
  if (decided.kind === 'refused') return decided;
  return approvedAnswer(decided.value);
}

function approvedAnswer(held: HeldPush): Answer {
  const { state, refs, decision } = held;
  if (state === 'waiting') return refuse(changedWords(held));
  if (state !== 'approved') {
    return refuse(`${holdLabel(held)} could not be applied, it is ${state}: ${decision?.reason ?? ''}`);
  }
  return done(heldJson(held), `${holdLabel(held)} is applied: ${refs.map(({ refname }) => refname).join(' ')}\n`);
}

function changedWords(held: HeldPush): string {
  return `it is held for other reasons by now than were shown: hold show ${holdLabel(held)}, then approve that id`;
}

/** Also of a push of which nothing is known any more. */
async function refusePush(call: Call): Promise<Answer> {
  const { holds } = call.parts;
  const damaged = mayTidy(call) ? await holds?.findDamaged(call.args.text('ID')) : undefined;
  if (holds === undefined || damaged === undefined) return decideOn(call, 'refuse');
  const { principal, origin } = call;
  const reason = call.args.value('--reason') ?? '';
  if (reason.trim() === '') return { kind: 'usage', reason: '--reason TEXT is missing: say why' };
  const removed = await holds.removeDamaged(damaged, { principal, reason, requestId: origin.id });
  if (removed.kind === 'refused') return removed;
  const { id } = damaged;
  const objects = removed.value === 0 ? 'no objects of it were found' : 'its objects are removed';
  return done({ id, state: 'removed' }, `the damaged record of ${id} is removed; ${objects}\n`);
}

async function decideOn(call: Call, how: 'refuse' | 'cancel'): Promise<Answer> {
  // Taking back shows nothing: whoever may push may, and a pass that does not fetch as well.
  const found = await findHeld(call, how === 'cancel' ? { forPush: true } : {});
  if ('kind' in found) return found;
  const { held, repository, desk } = found;
  const { principal, origin } = call;
  if (how === 'refuse') {
    const refused = mayDecide(call, principal, { held, repository });
    if (refused !== undefined) return { kind: 'forbidden', decision: refused };
  }
  const reason = call.args.value('--reason') ?? (how === 'cancel' ? 'no reason given' : '');
  if (reason.trim() === '') return { kind: 'usage', reason: '--reason TEXT is missing: say why' };
  const decided = await desk[how](held, { principal, reason, requestId: origin.id });
  if (decided.kind === 'refused') return decided;
  return done(heldJson(decided.value), `${holdLabel(held)} is ${decided.value.state}\n`);
}

/** One answer for what is not there and for what the asker may not know of. */
async function findHeld(call: Call, more: Pick<Question, 'forPush'> = {}): Promise<Found | Answer> {
  const text = call.args.text('ID');
  const desk = call.parts.holds;
  // Of a damaged one nobody can tell who may know of it.
  const isHidden = !mayTidy(call) && (await desk?.findDamaged(text)) !== undefined;
  const found = isHidden ? undefined : await desk?.find(text);
  const repository = found && (await desk?.repositoryOf(found.held));
  if (
    desk === undefined ||
    found === undefined ||
    repository === undefined ||
    !maySee(call, found.held, repository, more)
  ) {
    return { kind: 'missing', reason: `there is no held push ${shown(text)} that you may see` };
  }
  return { ...found, repository, desk };
}

/** Who may read the repository, and every ref of the push in it. */
function maySee(call: Call, held: HeldPush, repository: Repository, more: Pick<Question, 'forPush'> = {}): boolean {
  const { policy } = call.parts;
  if (call.ask({ operation: 'read', repository, ...more }).kind === 'refused') return false;
  const mayRead = policy.readableRefs(call.principal, repository);
  return mayRead === undefined || held.refs.every(({ refname }) => mayRead(refname));
}

/** Asked for every ref, with what it would become; undefined: the principal may. */
function mayDecide(
  { parts }: Pick<Call, 'parts'>,
  principal: Principal,
  { held, repository }: Pick<Found, 'held' | 'repository'>,
): Decision | undefined {
  const together = {};
  for (const { refname, oldOid, newOid } of held.refs) {
    const ref = { refname, oldOid, newOid };
    const question = { principal, operation: 'configure', action: 'holdapprove', repository, ref, together } as const;
    const decision = parts.policy.decide(question);
    if (decision.kind === 'refused') return decision;
  }
  return undefined;
}

/** Asked right before the commit point: who was suspended since, or lost the right, has approved nothing. */
async function stillMay(call: Call, held: HeldPush): Promise<Parsed<true>> {
  const principal = await call.parts.directory.current(call.principal);
  const repository = await call.parts.holds?.repositoryOf(held);
  if (principal === undefined || repository === undefined) return refuse('you may not approve this any more');
  const refused = mayDecide(call, principal, { held, repository });
  return refused === undefined ? ok(true) : refuse(refused.reason);
}
