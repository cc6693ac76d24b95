/**
 * A push to an upstream (gitprotocol-pack, "Pushing Data To a Server"). Leases are compared with what the server shows and
 * sent as the old values, which it compares again under its locks. Up to the first byte of the commands nothing can have
 * changed and whatever goes wrong is a fault; from then on only the server's report says what was done: without one the
 * answer is `unknown`, and who asked has to look.
 */
import { capabilityValue, formatCapabilities } from '../../git/capabilities.ts';
import { isZeroOid, oidHexLength, zeroOid, type Oid } from '../../git/oid.ts';
import { encodePkt, FLUSH } from '../../git/pkt-line.ts';
import { AGENT } from '../../base/version.ts';
import { Fault } from '../../base/fault.ts';
import type { ForwardedUpdate } from '../upstream.ts';
import type { Call } from './call.ts';
import type { GreetingV0 } from './greeting.ts';
import { NothingDone } from './nothing-done.ts';
import { isPackNeeded, readReport } from './read-report.ts';
import type { PushAsked, RemotePush } from './remote.ts';
import type { Session } from './session.ts';

type Refused = Extract<RemotePush, { kind: 'refused' }>;

/** @throws Fault as `Remote` says, and only where nothing was changed for sure. */
export async function pushTo(session: Session, call: Call, asked: PushAsked): Promise<RemotePush> {
  const greeting = await session.greeting();
  if (greeting.kind === 'v2') throw call.words.broke('it answers a push with version 2');
  const refused = refusedLease(asked, greeting) ?? refusedAbility(asked, greeting);
  if (refused !== undefined) return refused;
  const pack = isPackNeeded(asked.updates) ? await begin(asked, greeting) : undefined;
  const commands = commandSection(asked, greeting);
  if (call.isOver) {
    await pack?.return(undefined);
    throw call.translate(call.signal.reason);
  }
  try {
    const incoming = await session.request(bodyOf(commands, pack), call.limits.workMs);
    return await readReport({
      incoming,
      call,
      updates: asked.updates,
      isBanded: greeting.capabilities.has('side-band-64k'),
    });
  } catch (error) {
    if (error instanceof NothingDone) throw error.fault;
    const fault = call.translate(error);
    return { kind: 'unknown', reason: fault.publicMessage ?? fault.message };
  } finally {
    await pack?.return(undefined).catch(() => {});
  }
}

function refusedLease({ updates }: PushAsked, greeting: GreetingV0): Refused | undefined {
  const zero = zeroOid(greeting.objectFormat);
  for (const { refname, oldOid } of updates) {
    const here = greeting.refs.get(refname) ?? zero;
    if (here === oldOid || (isZeroOid(here) && isZeroOid(oldOid))) continue;
    const reason = isZeroOid(here) ? 'is not there any more upstream' : `is at ${here} upstream by now`;
    return { kind: 'refused', why: 'lease', refname, reason: `${refname} ${reason}` };
  }
  return undefined;
}

function refusedAbility({ updates, atomic, options }: PushAsked, greeting: GreetingV0): Refused | undefined {
  const can = (capability: string): boolean => greeting.capabilities.has(capability);
  const refuse = (reason: string, refname?: string): Refused => ({
    kind: 'refused',
    why: 'ability',
    reason: `the upstream ${reason}`,
    ...(refname === undefined ? {} : { refname }),
  });
  const length = oidHexLength(greeting.objectFormat);
  if (updates.some(({ newOid, oldOid }) => newOid.length !== length || oldOid.length !== length)) {
    return refuse(`has object format ${greeting.objectFormat}`);
  }
  if (!can('report-status') && !can('report-status-v2')) return refuse('does not report what it did with a push');
  const deleted = updates.find(({ newOid }) => isZeroOid(newOid));
  if (deleted !== undefined && !can('delete-refs')) return refuse('does not let refs be deleted', deleted.refname);
  if (atomic && updates.length > 1 && !can('atomic')) return refuse('cannot take several refs all or nothing');
  if (options.length > 0 && !can('push-options')) return refuse('takes no push options');
  return undefined;
}

/** Up to its first bytes, before anything is sent: a pack that cannot be made changes nothing. */
async function begin(asked: PushAsked, greeting: GreetingV0): Promise<AsyncGenerator<Uint8Array, void, undefined>> {
  const { capabilities } = greeting;
  const known = [...new Set<Oid>([...greeting.refs.values(), ...greeting.extra])];
  const form = { ofsDelta: capabilities.has('ofs-delta'), thin: !capabilities.has('no-thin') };
  const chunks = (await asked.pack(known, form))[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (first.done === true) throw new Fault('internal', 'pack for the upstream is empty');
  return resumed(first.value, chunks);
}

async function* resumed(
  first: Uint8Array,
  chunks: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield first;
    for (;;) {
      const next = await chunks.next();
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Also where the server broke off in the middle: a process that makes the pack is behind this.
    await chunks.return?.();
  }
}

/** Commands, push options: everything in front of the pack. */
function commandSection({ updates, atomic, options }: PushAsked, { capabilities, objectFormat }: GreetingV0): Buffer {
  const can = (name: string): boolean => capabilities.has(name);
  const told = [can('report-status-v2') ? 'report-status-v2' : 'report-status'];
  if (can('side-band-64k')) told.push('side-band-64k');
  if (atomic && can('atomic')) told.push('atomic');
  if (options.length > 0) told.push('push-options');
  if (capabilityValue(capabilities, 'object-format') !== undefined) told.push(`object-format=${objectFormat}`);
  if (can('agent')) told.push(`agent=${AGENT}`);
  const line = ({ oldOid, newOid, refname }: ForwardedUpdate): string => `${oldOid} ${newOid} ${refname}`;
  const commands = updates.map((update, index) =>
    encodePkt(index === 0 ? `${line(update)}\0 ${formatCapabilities(told)}` : line(update)),
  );
  const optionLines = options.length > 0 ? [...options.map((option) => encodePkt(option)), FLUSH] : [];
  return Buffer.concat([...commands, FLUSH, ...optionLines]);
}

async function* bodyOf(commands: Buffer, pack: AsyncIterable<Uint8Array> | undefined): AsyncGenerator<Uint8Array> {
  yield commands;
  if (pack !== undefined) yield* pack;
}
