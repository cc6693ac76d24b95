/** The server's side of a push after the commands: its report, in band 1 of a sideband or as it is, and what it says around it. */
import { Readable } from 'node:stream';
import { isZeroOid } from '../../git/oid.ts';
import type { ForwardedUpdate } from '../upstream.ts';
import type { Call } from './call.ts';
import { Incoming } from './incoming.ts';
import type { RemotePush } from './remote.ts';
import { ReportReader, type Report } from './report.ts';
import { unbanded } from './unbanded.ts';

export interface ReportAsked {
  readonly incoming: Incoming;
  readonly call: Call;
  readonly updates: readonly ForwardedUpdate[];
  readonly isBanded: boolean;
}

/** A deletion alone brings no pack (gitprotocol-pack, "Pushing Data To a Server"). */
export function isPackNeeded(updates: readonly ForwardedUpdate[]): boolean {
  return updates.some(({ newOid }) => !isZeroOid(newOid));
}

/** What the server reported, or that nobody knows. @throws Fault where the answer breaks off or off the protocol. */
export async function readReport(asked: ReportAsked): Promise<RemotePush> {
  const { call, updates } = asked;
  const reader = new ReportReader(updates);
  try {
    await readLines(asked, reader);
  } catch (error) {
    // Its report was whole already: what breaks behind it (a slow hook, say) changes nothing any more.
    const reported = reader.isWhole ? reader.end() : undefined;
    if (reported?.kind === 'ok') return worded(reported.value, call);
    throw error;
  }
  const report = reader.end();
  if (report.kind === 'refused') throw call.words.broke(report.reason);
  return worded(report.value, call);
}

function worded({ unpack, refs }: Report, call: Call): RemotePush {
  const { words } = call;
  const reasons = [...refs].map(([refname, reason]): [string, string | undefined] => [
    refname,
    reason === undefined ? undefined : words.reason(reason),
  ]);
  return { kind: 'reported', unpack: unpack === 'ok' ? 'ok' : words.reason(unpack), refs: new Map(reasons) };
}

/** With a sideband all of band 1 are the report's pkt-lines, cut anywhere; it goes on behind them: hooks that run later talk there. */
async function readLines({ incoming, call, isBanded }: ReportAsked, reader: ReportReader): Promise<void> {
  const { limits, words } = call;
  const source = isBanded ? Readable.from(unbanded({ incoming, call }), { objectMode: false }) : undefined;
  const lines = source === undefined ? incoming : new Incoming({ input: source, call });
  const start = lines.bytesRead;
  try {
    for (;;) {
      if (reader.isWhole && !isBanded) return;
      const pkt = await lines.next(limits.workMs);
      if (pkt === undefined) return;
      if (lines.bytesRead - start > limits.reportBytesMax) throw words.broke('its report is too long');
      if (pkt.kind === 'data') take(reader, pkt.payload, call);
      else if (pkt.kind === 'flush') reader.close();
      else throw words.broke('a malformed report');
    }
  } finally {
    source?.destroy();
  }
}

function take(reader: ReportReader, payload: Buffer, call: Call): void {
  const taken = reader.take(payload);
  if (taken.kind === 'refused') throw call.words.broke(taken.reason);
}
