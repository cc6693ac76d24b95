/**
 * What a push session does with updates that are held: one request for all of them, kept before anything else of the push is
 * carried out, told to the client in words that say how to go on, and waited for where the client wants to.
 */
import type { Repository } from '../repository/repository.ts';
import type { Principal } from '../identity/principal.ts';
import { holdLabel, type HeldPush, type HeldRef } from './hold-record.ts';
import type { Holding } from './holding.ts';
import type { Origin } from './journal-line.ts';
import type { Judged } from './pipeline.ts';
import type { KeptCertificate } from './push-certificate.ts';
import type { PushRequest } from './push-request.ts';
import { refUpdate, type Update } from './update.ts';

export interface ToHold {
  readonly repository: Repository;
  readonly principal: Principal;
  readonly origin: Origin;
  readonly request: PushRequest;
  readonly updates: readonly Update[];
  readonly judged: Judged;
  readonly tell: (text: string) => void;
}

/**
 * Puts what is held into the holding area and says so; undefined where nothing is held, or nothing can be: then the
 * updates are refused with the reason. All of an atomic push waits where one ref does. @throws Fault: nothing was kept.
 */
export async function holdUpdates(holding: Holding, options: ToHold): Promise<HeldPush | undefined> {
  const { repository, principal, origin, request, judged, tell } = options;
  const open = options.updates.filter(({ isOpen }) => isOpen);
  const held = open.filter(({ holds }) => holds.length > 0);
  if (held.length === 0) return undefined;
  const together = request.abilities.atomic ? open : held;
  const kept = await holding.hold({
    repository,
    principal,
    origin: { id: origin.id, transport: origin.transport, address: origin.address },
    refs: together.flatMap(heldRef),
    options: request.options,
    ...(request.certificate === undefined ? {} : { certificate: heldCertificate(request.certificate) }),
    pack: judged.objectDirectory === undefined ? undefined : judged.pack,
    objectDirectory: judged.objectDirectory,
  });
  if (kept.kind === 'refused') {
    const [first] = held;
    for (const update of together) {
      const why = (update.holds[0] ?? first?.holds[0])?.reason ?? '';
      update.refuse(`this wants an approval (${why}), but ${kept.reason}`);
    }
    return undefined;
  }
  for (const update of together) update.keepAside(heldWords(kept.value, update, held[0]));
  for (const line of introduction(kept.value, holding)) tell(line);
  return kept.value;
}

function heldCertificate({ payload, signature }: KeptCertificate): NonNullable<HeldPush['certificate']> {
  return { payload: payload.toString('base64'), signature };
}

function heldRef(update: Update): readonly HeldRef[] {
  const seen = refUpdate(update);
  if (seen === undefined) return [];
  const { refname, oldOid, newOid, kind } = seen;
  return [{ refname, oldOid, newOid, kind, reasons: update.holds }];
}

function heldWords(held: HeldPush, update: Update, first: Update | undefined): string {
  const start = `held for approval as ${holdLabel(held)}`;
  const [why, ...more] = update.holds;
  if (why === undefined) return `${start}, together with ${first?.name ?? 'the others'}`;
  const { reason, rule } = why;
  const named = rule === undefined || reason.startsWith(rule) ? reason : `${reason} (${rule})`;
  return `${start}: ${named}${more.length === 0 ? '' : `, and ${more.length} more (hold show ${holdLabel(held)})`}`;
}

function introduction(held: HeldPush, { waits }: Holding): readonly string[] {
  const label = holdLabel(held);
  const until = new Date(held.expiresAt).toISOString().slice(0, 16).replace('T', ' ');
  return [
    `held for approval as ${label}, until ${until} UTC: nothing of it is in ${held.repository.name} yet`,
    `  look at it:    hold show ${label} --diff`,
    `  take it back:  hold cancel ${label}`,
    `  to wait for the decision, push with -o wait=5m (at most ${waits.longest})`,
  ];
}

/**
 * Waits for the decision as long as the client wants, and turns the fates of what was held into it. Nothing is locked
 * meanwhile; whoever decides applies the push, this only tells.
 */
export async function awaitDecision(
  holding: Holding,
  held: HeldPush,
  options: {
    readonly request: PushRequest;
    readonly updates: readonly Update[];
    readonly signal: AbortSignal;
    readonly tell: (text: string) => void;
    /** Called right before the waiting begins. */
    readonly begin: () => void;
  },
): Promise<void> {
  const { request, updates, signal, tell, begin } = options;
  const wanted = holding.waits.wanted(request.options);
  if (wanted.kind === 'refused') tell(wanted.reason);
  if (wanted.kind === 'refused' || wanted.value === 0) return;
  // Without a sideband nothing would keep the connection alive, nor tell its end.
  if (!request.abilities.sideband) return;
  begin();
  const { id } = held;
  tell(`waiting for a decision about ${holdLabel(held)} ...`);
  const decided = await holding.waits.until({
    id,
    ms: wanted.value,
    signal,
    decidedBefore: async () => {
      const now = await holding.records.find(id);
      return now === undefined || now.state === 'waiting' ? undefined : now;
    },
  });
  if (decided === undefined) {
    tell(`nobody has decided yet: ${holdLabel(held)} stays held`);
    return;
  }
  const names = new Set<string>(held.refs.map(({ refname }) => refname));
  for (const update of updates) {
    if (names.has(update.name)) update.keepAside(decidedWords(decided), { isDone: decided.state === 'approved' });
  }
  tell(decidedWords(decided));
}

/** `hold a1b2 was refused by olive: not before the release`. */
export function decidedWords(held: HeldPush): string {
  const { by = 'gatehouse', reason = '' } = held.decision ?? {};
  return `hold ${holdLabel(held)} ${STATE_WORDS[held.state]}${by === 'gatehouse' ? '' : ` by ${by}`}: ${reason}`;
}

const STATE_WORDS = {
  waiting: 'still waits',
  approved: 'was approved',
  refused: 'was refused',
  cancelled: 'was taken back',
  expired: 'expired',
  stale: 'no longer fits',
} as const satisfies Record<HeldPush['state'], string>;
