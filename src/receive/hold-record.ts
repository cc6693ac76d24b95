/**
 * A push that waits for somebody's word, as it lies in the store. What an approval is bound to is written once and never
 * changes: repository, pusher, every ref with its old and its new oid. What changes is its state, and the reasons that
 * its approver has to answer.
 */
import { readFields, type Fields } from '../base/fields.ts';
import type { Json } from '../base/json.ts';
import type { Oid } from '../git/oid.ts';
import type { Refname } from '../git/refname.ts';
import type { Credential, GroupName, Principal, UserName } from '../identity/principal.ts';
import type { Stored } from '../store/store.ts';
import { UPDATE_KINDS, type UpdateKind } from './step.ts';

export const HOLD_STATES = ['waiting', 'approved', 'refused', 'cancelled', 'expired', 'stale'] as const;
export type HoldState = (typeof HOLD_STATES)[number];

/** Why a ref is held; an approval answers exactly what it shows. */
export interface HoldReason {
  readonly reason: string;
  readonly rule?: string;
}

export interface HeldRef {
  readonly refname: Refname;
  readonly oldOid: Oid;
  readonly newOid: Oid;
  readonly kind: UpdateKind;
  /** Empty: it came with held ones in one atomic push. */
  readonly reasons: readonly HoldReason[];
}

export interface HoldDecision {
  /** A user name; `gatehouse` where nobody decided. */
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly reason: string;
}

export interface HeldPush {
  readonly id: string;
  /** 1, 2 ...: grows when other reasons are found than were shown. */
  readonly round: number;
  readonly state: HoldState;
  readonly repository: { readonly id: string; readonly name: string };
  readonly refs: readonly HeldRef[];
  readonly principal: Principal;
  /** For people: `token ci-1`. */
  readonly credential: string;
  /** Names of all who stand behind the push, as they were then: none of them approves it. */
  readonly behind: readonly string[];
  /** Ids of their accounts; absent in older records, and where not all of them were known. */
  readonly behindIds?: readonly string[];
  readonly origin: { readonly id: string; readonly transport: string; readonly address: string };
  readonly options: readonly string[];
  /** Of a signed push: its certificate, in base64, and the signature; verified anew when it is applied. */
  readonly certificate?: { readonly payload: string; readonly signature: string };
  /** What came over the wire; absent where the push brought no object. */
  readonly pack?: { readonly name: string; readonly sent: number; readonly bytes: number };
  /** Of its objects on disk. */
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly decision?: HoldDecision;
  /** Of the store; 0 before it is written. */
  readonly version: number;
}

/** Its objects are still kept. */
export function isKept({ state }: Pick<HeldPush, 'state'>): boolean {
  return state === 'waiting' || state === 'stale';
}

/** What a person types: the id, and which list of reasons is meant where there was more than one. */
export function holdLabel({ id, round }: Pick<HeldPush, 'id' | 'round'>): string {
  return round === 1 ? id : `${id}.${round}`;
}

const LABEL = /^([a-z0-9]{4,32})(?:\.([1-9]\d{0,5}))?$/;

/** Undefined: this is no id. */
export function parseHoldLabel(text: string): { readonly id: string; readonly round: number } | undefined {
  const match = LABEL.exec(text);
  return match === null ? undefined : { id: match[1] ?? '', round: Number(match[2] ?? '1') };
}

/** Two reasons are one where rule and words agree. */
export function reasonKey({ reason, rule = '' }: HoldReason): string {
  return `${rule}\n${reason}`;
}

export function writeHeld(held: HeldPush): Json {
  const { round, state, repository, refs, credential, behind, origin, options, pack, bytes, createdAt, expiresAt } =
    held;
  return {
    round,
    state,
    repository: { ...repository },
    refs: refs.map(({ reasons, ...ref }) => ({ ...ref, reasons: reasons.map((reason) => ({ ...reason })) })),
    principal: writePrincipal(held.principal),
    credential,
    behind,
    ...(held.behindIds === undefined ? {} : { behindIds: held.behindIds }),
    origin: { ...origin },
    options,
    ...(held.certificate === undefined ? {} : { certificate: { ...held.certificate } }),
    ...(pack === undefined ? {} : { pack: { ...pack } }),
    bytes,
    createdAt,
    expiresAt,
    ...(held.decision === undefined ? {} : { decision: { ...held.decision } }),
  };
}

/** @throws Fault 'corrupt' */
export function readHeld(stored: Stored): HeldPush {
  const about = `held push ${stored.key}`;
  const fields = readFields(stored.value, about);
  const inner = (key: string): Fields => readFields(fields.raw(key) ?? null, `${about}, ${key}`);
  const [repository, origin] = [inner('repository'), inner('origin')];
  const pack = fields.raw('pack') === undefined ? undefined : inner('pack');
  const decision = fields.raw('decision') === undefined ? undefined : inner('decision');
  const certificate = fields.raw('certificate') === undefined ? undefined : inner('certificate');
  return {
    id: stored.key,
    round: fields.number('round'),
    state: fields.word('state', HOLD_STATES),
    repository: { id: repository.text('id'), name: repository.text('name') },
    refs: fields.objects('refs').map(readRef),
    principal: readPrincipal(inner('principal')),
    credential: fields.text('credential'),
    behind: fields.texts('behind'),
    ...(fields.raw('behindIds') === undefined ? {} : { behindIds: fields.texts('behindIds') }),
    origin: { id: origin.text('id'), transport: origin.text('transport'), address: origin.text('address') },
    options: fields.texts('options'),
    ...(certificate === undefined
      ? {}
      : { certificate: { payload: certificate.text('payload'), signature: certificate.text('signature') } }),
    ...(pack === undefined
      ? {}
      : { pack: { name: pack.text('name'), sent: pack.number('sent'), bytes: pack.number('bytes') } }),
    bytes: fields.number('bytes'),
    createdAt: fields.number('createdAt'),
    expiresAt: fields.number('expiresAt'),
    ...(decision === undefined
      ? {}
      : { decision: { by: decision.text('by'), at: decision.number('at'), reason: decision.text('reason') } }),
    version: stored.version,
  };
}

function readRef(fields: Fields): HeldRef {
  return {
    // Written from parsed names and oids only.
    refname: fields.text('refname') as Refname,
    oldOid: fields.text('oldOid') as Oid,
    newOid: fields.text('newOid') as Oid,
    kind: fields.word('kind', UPDATE_KINDS),
    reasons: fields.objects('reasons').map((reason) => {
      const rule = reason.optionalText('rule');
      return { reason: reason.text('reason'), ...(rule === undefined ? {} : { rule }) };
    }),
  };
}

function writePrincipal(principal: Principal): Json {
  if (principal.kind === 'anonymous') return { kind: 'anonymous' };
  const { kind, name, account, email, realName, groups, credential, asking } = principal;
  return {
    kind,
    name,
    account,
    email,
    realName,
    groups: [...groups],
    // Plain words and lists of them, whatever its kind: it goes to the journal.
    credential: JSON.parse(JSON.stringify(credential)) as Json,
    ...(asking === undefined ? {} : { asking: { name: asking.name, groups: [...asking.groups] } }),
  };
}

/** Only good to ask who that is now: nothing is decided for a principal of a week ago. */
function readPrincipal(fields: Fields): Principal {
  if (fields.word('kind', ['anonymous', 'user']) === 'anonymous') return { kind: 'anonymous' };
  const asking = fields.raw('asking') === undefined ? undefined : readFields(fields.raw('asking') ?? null, 'asking');
  const credential = fields.raw('credential') ?? null;
  readFields(credential, 'credential of a held push').text('kind');
  return {
    kind: 'user',
    name: fields.text('name') as UserName,
    account: fields.word('account', ['person', 'ci']),
    email: fields.text('email'),
    realName: fields.text('realName'),
    groups: groupsOf(fields),
    // Written from a credential only, and asked of the directory before anything is done with it.
    credential: credential as unknown as Credential,
    ...(asking === undefined ? {} : { asking: { name: asking.text('name') as UserName, groups: groupsOf(asking) } }),
  };
}

function groupsOf(fields: Fields): ReadonlySet<GroupName> {
  return new Set(fields.texts('groups').map((group) => group as GroupName));
}
