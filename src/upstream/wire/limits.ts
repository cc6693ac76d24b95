/** What one call to an upstream may take, in time and in bytes: a table of its own, so that tests can lower it. */
const KIB = 1024;
const MIB = 1024 * KIB;
const MINUTE_MS = 60_000;

export interface WireLimits {
  /** From the first packet to a connection that is logged in. */
  readonly connectMs: number;
  /** In which each pkt or chunk that we wait for, and each that we send, has to get through. */
  readonly silenceMs: number;
  /** The same once a pack is being made or checked upstream: hooks there may think. */
  readonly workMs: number;
  /** A whole call: listing refs; a pack in either direction. */
  readonly listMs: number;
  readonly packMs: number;
  /** A connection that nobody uses is closed after this long. */
  readonly idleMs: number;
  /** Connections to one upstream, and calls at once on one of them (sshd's MaxSessions is 10). */
  readonly connectionsMax: number;
  readonly channelsMax: number;
  /** Calls that wait for a connection. */
  readonly waitingMax: number;
  /** How long a v2 capability advertisement over HTTP is taken for still true. */
  readonly capabilitiesMs: number;
  /** Refs in one answer, and bytes of it. */
  readonly refsMax: number;
  readonly refsBytesMax: number;
  /** Bytes told to the client of what the upstream says; of its standard error; of a reason of its own. */
  readonly toldBytesMax: number;
  readonly stderrBytesMax: number;
  readonly reasonBytesMax: number;
  /** Refs and bytes of a report of receive-pack. */
  readonly reportBytesMax: number;
}

export const WIRE_LIMITS: WireLimits = {
  connectMs: 20_000,
  silenceMs: MINUTE_MS,
  workMs: 10 * MINUTE_MS,
  listMs: 5 * MINUTE_MS,
  packMs: 4 * 60 * MINUTE_MS,
  idleMs: MINUTE_MS,
  connectionsMax: 4,
  channelsMax: 4,
  waitingMax: 256,
  capabilitiesMs: 5 * MINUTE_MS,
  refsMax: 2_000_000,
  refsBytesMax: 256 * MIB,
  toldBytesMax: 1 * MIB,
  stderrBytesMax: 64 * KIB,
  reasonBytesMax: 2 * KIB,
  reportBytesMax: 32 * MIB,
};
