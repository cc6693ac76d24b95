/**
 * The one place that builds the parts and hands each what it needs, from the store up to the doors, and takes them
 * down in the opposite order.
 */
import type { Readable, Writable } from 'node:stream';
import { BOUNDS } from './base/bounds.ts';
import { newId, systemClock } from './base/clock.ts';
import type { Config } from './base/config.ts';
import { Fault, ok, refuse, type Parsed } from './base/fault.ts';
import type { Principal } from './identity/principal.ts';
import { controlPath } from './house/control-path.ts';
import { openDoors, type Doors } from './house/doors.ts';
import { nextSteps, readyLine, urlsOf, type Urls } from './house/banner.ts';
import type { ForgeGround } from './house/ground.ts';
import { openRooms, type Rooms } from './house/rooms.ts';
import { awaitStop } from './house/signals.ts';
import { startControlSocket, type ControlSocket, type ControlSocketOptions } from './api/control-server.ts';
import {
  askOther,
  EXIT_ANSWERED,
  giveWay,
  holdPlace,
  isOnDemand,
  watchOnDemand,
  type Place,
} from './house/on-demand.ts';
import type { KeySource } from './upstream/vault-keys.ts';
import { siteDoor } from './house/site-door.ts';

export interface House {
  readonly rooms: Rooms;
  readonly doors: Doors;
  readonly control: ControlSocket;
  /** Of the data directory. */
  readonly place: Place;
  /** A gate that a person starts asked this one, which nobody did, to make room. */
  readonly relieved: Promise<void>;
  /** Lines for a person, behind the ready line. */
  readonly greeting: string;
  /** No new requests; running ones get up to `BOUNDS.drainMs`; then everything is closed. */
  close(): Promise<void>;
}

export interface HouseOptions {
  readonly config: Config;
  /** Keys of the vault, where they came with the environment. */
  readonly vaultKeys?: KeySource | undefined;
  readonly forges?: ForgeGround;
  /** How a person calls the local command line. */
  readonly program: string;
}

/** Everything, ready to serve. @throws Fault with a public message where something cannot be opened. */
export async function openHouse(options: HouseOptions): Promise<House> {
  const { config, program, vaultKeys, forges = {} } = options;
  let urls: Urls = {};
  const rooms = await openRooms(config, { urls: () => urls, vaultKeys, forges });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rooms.close());
  const stopping = new AbortController();
  let isClosing = false;
  const socket = await controlPath(config.dataDirectory);
  stack.defer(() => socket[Symbol.asyncDispose]());
  const { promise: relieved, resolve: onRelieve } = Promise.withResolvers<void>();
  const place = stack.use(await holdPlace(config.dataDirectory));
  const doors = await openDoors(rooms, config);
  stack.defer(() => doors.close());
  urls = urlsOf(doors.addresses, config.settings);
  await rooms.begin(doors.addresses);
  // Last: whom it answers may count on everything, and may take everything away again.
  const control = await startControl(rooms, {
    path: socket.path,
    place,
    signal: stopping.signal,
    ...(isOnDemand(process.env) ? { onRelieve } : {}),
    isClosing: () => isClosing,
  });
  stack.defer(() => control.close());
  const kept = stack.move();
  return {
    rooms,
    doors,
    control,
    place,
    relieved,
    greeting: nextSteps({
      urls,
      program,
      administrator: rooms.administrator,
      dataDirectory: config.dataDirectory,
      isFirst: rooms.isFirst,
      hasKey: rooms.hasKey,
      warnings: rooms.warnings,
    }),
    async close() {
      isClosing = true;
      rooms.stopWaiting();
      // Doors refuse what is new while the walk lets what runs come to its end.
      const closing = doors.close();
      const deadlineMs = systemClock.monotonicMs() + BOUNDS.drainMs;
      // What the control socket took may not have come as far as the walk, which lets nothing in while it drains.
      await control.drain(BOUNDS.drainMs);
      await rooms.walk.drain(Math.max(0, deadlineMs - systemClock.monotonicMs()));
      stopping.abort(new Fault('aborted', 'gate is closing'));
      await closing;
      await kept.disposeAsync();
    },
  };
}

async function startControl(
  rooms: Rooms,
  {
    place,
    ...options
  }: Pick<ControlSocketOptions, 'path' | 'signal' | 'onRelieve' | 'isClosing'> & { readonly place: Place },
): Promise<ControlSocket> {
  const site = rooms.site && (await siteDoor({ site: rooms.site, place }));
  return startControlSocket({
    ...options,
    commands: rooms.commands,
    principal: () => localPrincipal(rooms),
    ...(site === undefined ? {} : { site }),
    clock: systemClock,
  });
}

/** Whom a local command acts as: the administrator. */
async function localPrincipal({ directory }: Rooms): Promise<Parsed<Principal>> {
  const name = await directory.administrator();
  const administrator = name && (await directory.principalOf(name, { kind: 'local' }));
  return administrator === undefined ? refuse('this site has no active administrator') : ok(administrator);
}

/** `gatehouse serve`: opens the house and keeps it open until a signal. The exit code. */
export async function serveHouse(options: HouseOptions): Promise<number> {
  let open: House | undefined;
  using stop = awaitStop({ onHangUp: () => void reload(open) });
  let isStopping = false;
  const stopped = stop.asked.then(() => {
    isStopping = true;
    return 'stopped' as const;
  });
  const opening = openInPlace(options, () => isStopping);
  const house = await Promise.race([opening, stopped]);
  if (house === 'stopped') {
    // Before it was open: what is half done is finished and closed again.
    await (await opening)?.close();
    return 0;
  }
  if (house === undefined) return EXIT_ANSWERED;
  open = house;
  process.stdout.write(readyLine(house.doors.addresses));
  process.stdout.write(house.greeting);
  if (isOnDemand(process.env)) {
    const { control, place, rooms } = house;
    const idleMs = options.config.settings.gitoliteIdle;
    using end = watchOnDemand({ place, idleMs, control, walk: rooms.walk, clock: systemClock }, vanish);
    await Promise.race([stop.asked, end.idle, house.relieved]);
  } else {
    await stop.asked;
  }
  await house.close();
  return 0;
}

/**
 * As `openHouse`. A gate that a person starts has those make room that launchers started; one that a launcher starts waits
 * for another that is starting or ending. Undefined: that one answers, or this one is to stop.
 */
async function openInPlace(options: HouseOptions, isStopping: () => boolean): Promise<House | undefined> {
  const { dataDirectory } = options.config;
  const deadlineMs = systemClock.monotonicMs() + BOUNDS.drainMs + BOUNDS.closeGraceMs;
  for (;;) {
    try {
      return await openHouse(options);
    } catch (error) {
      const isTaken = error instanceof Fault && error.code === 'busy';
      if (!isTaken || systemClock.monotonicMs() > deadlineMs) throw error;
      if (isStopping()) return undefined;
      // Asked again each time: a launcher may have been quicker to start another one.
      const other = await askOther(dataDirectory, { isToLeave: !isOnDemand(process.env) });
      if (other !== 'stays') continue;
      if (!isOnDemand(process.env)) throw error;
      process.stderr.write(`gatehouse: ${error.publicMessage ?? error.message}\n`);
      await giveWay();
      return undefined;
    }
  }
}

/** Nothing is closed: what lies at the names that this gate knows may be the next one's. */
function vanish(): never {
  process.kill(process.pid, 'SIGKILL');
  throw new Fault('internal', 'gate outlived its end');
}

/** A certificate that does not fit leaves the old one in place; the log says so. */
async function reload(house: House | undefined): Promise<void> {
  try {
    await house?.doors.reload();
    house?.rooms.log.info({}, 'read certificate again');
  } catch (error) {
    house?.rooms.log.error({ error }, 'fail to read certificate again');
  }
}

export interface LocalRun {
  readonly argv: readonly string[];
  readonly as?: string;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
  readonly vaultKeys?: KeySource | undefined;
  readonly forges?: ForgeGround;
}

/** One command without a running gate: the same parts and the same policy, without doors. */
export async function runOnStore(config: Config, { vaultKeys, forges = {}, ...run }: LocalRun): Promise<number> {
  const quiet: Config = { ...config, settings: { ...config.settings, logLevel: 'error' } };
  const rooms = await openRooms(quiet, { urls: () => ({}), vaultKeys, forges });
  try {
    const principal = await localPrincipal(rooms);
    if (principal.kind === 'refused') {
      run.stderr.write(`gatehouse: ${principal.reason}\n`);
      return 1;
    }
    const origin = {
      id: newId(systemClock),
      transport: 'local',
      address: 'local',
      principal: principal.value,
    } as const;
    const argv = run.as === undefined ? run.argv : ['as', run.as, ...run.argv];
    return await rooms.commands.run({ ...run, argv, origin });
  } finally {
    await rooms.close();
  }
}
