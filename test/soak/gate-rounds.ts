/** Rounds of: several clients push and fetch through a gate, something goes wrong, everybody is well again, check. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readLines } from '../../src/audit/read.ts';
import { Chance } from '../compare/random.ts';
import { makePerson, sshOk, startGate, url, type Gate, type Person } from '../support/gate.ts';
import { workspace, type Scope } from '../support/workspace.ts';
import { checkGate } from './gate-check.ts';
import { SoakClient, type Asked } from './gate-client.ts';
import { startSoakUpstream, type Mood, type SoakUpstream } from './gate-upstream.ts';
import { findRepository } from './find-repository.ts';

/** What goes wrong in a round. */
export const KINDS = [
  'calm',
  'somebody pushes upstream',
  'upstream refuses some refs',
  'upstream refuses all',
  'upstream slow',
  'upstream dies before',
  'upstream dies after',
  'upstream cut off',
  'gate killed',
  'gate killed, upstream slow',
  'gate killed, upstream out of reach',
] as const;
export type Kind = (typeof KINDS)[number];

export interface KindTally {
  rounds: number;
  done: number;
  refused: number;
  unknown: number;
  stale: number;
  /** Pushes whose fate the gate found out later. */
  recovered: number;
}

export interface GateTally {
  readonly kinds: ReadonlyMap<Kind, KindTally>;
  /** One line each, with its round. */
  readonly problems: string[];
}

export interface GateRounds {
  readonly seed: number;
  readonly rounds: number;
  /** Default: one after the other. */
  readonly kindOf?: (round: number) => Kind;
  /** Of the gate's process. */
  readonly env?: NodeJS.ProcessEnv;
  readonly onRound?: (round: number, kind: Kind, problems: readonly string[]) => void;
}

const MOODS: Readonly<Partial<Record<Kind, Mood>>> = {
  'upstream refuses some refs': 'refuse',
  'upstream refuses all': 'refuse-all',
  'upstream slow': 'slow',
  'upstream dies before': 'die-before',
  'upstream dies after': 'die-after',
  'gate killed, upstream slow': 'slow',
};
const CLIENTS = 3;
const PUSHES = 2;
/** A push takes about as long: the moment falls anywhere in it. */
const MOMENT_MS = 1_500;
const KILL_MS = 700;

export async function runGateRounds(scope: Scope, options: GateRounds): Promise<GateTally> {
  const soak = await GateSoak.open(scope, options);
  for (let round = 0; round < options.rounds; round += 1) {
    const kind = options.kindOf?.(round) ?? KINDS[round % KINDS.length] ?? 'calm';
    const problems = await soak.round(kind);
    options.onRound?.(round, kind, problems);
    soak.tally.problems.push(...problems.map((problem) => `round ${round} (${kind}): ${problem}`));
    // What is wrong once is wrong in every later round, too.
    if (problems.length > 0) break;
  }
  return soak.tally;
}

class GateSoak {
  readonly #scope: Scope;
  readonly #options: GateRounds;
  readonly #chance: Chance;
  readonly #root: string;
  readonly #admin: Person;
  readonly #upstream: SoakUpstream;
  readonly #clients: SoakClient[] = [];
  readonly tally: { readonly kinds: Map<Kind, KindTally>; readonly problems: string[] } = {
    kinds: new Map(KINDS.map((kind) => [kind, { rounds: 0, done: 0, refused: 0, unknown: 0, stale: 0, recovered: 0 }])),
    problems: [],
  };
  #gate: Gate;

  constructor(
    scope: Scope,
    options: GateRounds,
    parts: { readonly root: string; readonly admin: Person; readonly upstream: SoakUpstream; readonly gate: Gate },
  ) {
    this.#scope = scope;
    this.#options = options;
    this.#chance = new Chance(options.seed);
    this.#root = parts.root;
    this.#admin = parts.admin;
    this.#upstream = parts.upstream;
    this.#gate = parts.gate;
  }

  static async open(scope: Scope, options: GateRounds): Promise<GateSoak> {
    const root = workspace(scope, 'gatehouse-soak-gate-');
    const admin = await makePerson(root, 'admin');
    const upstream = await startSoakUpstream(scope);
    const args = ['--admin', 'admin', '--admin-key', `${admin.keyFile}.pub`, '--log-level', 'error'];
    const env = options.env ?? {};
    const gate = await startGate(scope, { data: join(root, 'data'), home: admin.home, args, env });
    const words = ['mirror', 'add', 'soak', upstream.url, '--key', '-', '--host-key', upstream.hostKey];
    await sshOk(admin, gate, words, upstream.privateKey);
    const soak = new GateSoak(scope, options, { root, admin, upstream, gate });
    await soak.#begin();
    return soak;
  }

  async #begin(): Promise<void> {
    const token = readFileSync(join(this.#root, 'data', 'admin-token'), 'utf8').trim();
    for (let index = 0; index <= CLIENTS; index += 1) {
      const client = new SoakClient({
        name: `c${index}`,
        root: this.#root,
        upstream: this.#upstream,
        url: () => url(this.#gate, 'http', 'soak', token),
        chance: new Chance(this.#options.seed * 31 + index),
      });
      await client.begin();
      this.#clients.push(client);
    }
  }

  async round(kind: Kind): Promise<readonly string[]> {
    const [looker, ...pushers] = this.#clients;
    const recovered = await this.#recovered();
    this.#upstream.setMood(MOODS[kind] ?? 'ok');
    this.#upstream.delayMs = kind === 'upstream slow' ? 10 : 0;
    const over = new AbortController();
    const looking = (async (): Promise<void> => {
      while (!over.signal.aborted) await looker?.look();
    })();
    const isDiverging = kind === 'somebody pushes upstream';
    const pushing = pushers.map(async (client, index) => {
      for (let pushes = 0; pushes < PUSHES; pushes += 1) await client.push(isDiverging && index === pushes);
    });
    await this.#disturb(kind, Promise.all(pushing));
    await Promise.all(pushing);
    over.abort();
    await looking;
    this.#upstream.setMood('ok');
    this.#upstream.delayMs = 0;
    this.#upstream.mend();
    await this.#upstream.quiet();
    const problems = await this.#check(looker);
    await this.#count(kind, recovered);
    return problems;
  }

  async #disturb(kind: Kind, pushing: Promise<unknown>): Promise<void> {
    const isKill = kind.startsWith('gate killed');
    const over = new AbortController();
    const ended = pushing.finally(() => {
      over.abort();
    });
    // Every other kill falls behind the moment at which the upstream has a push in its hands.
    if (isKill && this.#chance.is(50)) await this.#upstream.busy(over.signal);
    const moment = new Promise((resolve) => setTimeout(resolve, this.#chance.int(isKill ? KILL_MS : MOMENT_MS))); // the point of a soak
    await Promise.race([moment, ended]);
    if (kind === 'somebody pushes upstream') {
      for (let times = 0; times < 3; times += 1)
        await this.#upstream.change(`refs/heads/shared/s${this.#chance.int(6)}`);
    } else if (kind === 'upstream cut off') {
      this.#upstream.cut();
      await new Promise((resolve) => setTimeout(resolve, this.#chance.int(1_000)));
      this.#upstream.mend();
    } else if (isKill) {
      await this.#gate.kill();
      if (kind === 'gate killed, upstream out of reach') this.#upstream.cut();
      await this.#restart();
    }
  }

  async #restart(): Promise<void> {
    const env = this.#options.env ?? {};
    const args = ['--log-level', 'error'];
    this.#gate = await startGate(this.#scope, { data: join(this.#root, 'data'), home: this.#admin.home, args, env });
  }

  async #check(looker: SoakClient | undefined): Promise<readonly string[]> {
    const data = join(this.#root, 'data');
    const shown = await looker?.look();
    const seen = new Set(this.#clients.flatMap((client) => [...client.seen]));
    const repositoryPath = findRepository(data, 'soak');
    if (repositoryPath === undefined) throw new Error('the mirror is not on disk');
    return checkGate({ upstream: this.#upstream, shown, data, repositoryPath, asked: this.#asked(), seen });
  }

  #asked(): readonly Asked[] {
    return this.#clients.flatMap(({ asked }) => asked);
  }

  async #count(kind: Kind, before: number): Promise<void> {
    const tally = this.tally.kinds.get(kind);
    if (tally === undefined) return;
    tally.rounds += 1;
    tally.recovered += (await this.#recovered()) - before;
    for (const client of this.#clients) {
      for (const { answer } of client.asked.slice(client.counted)) tally[answer] += 1;
      client.counted = client.asked.length;
    }
  }

  async #recovered(): Promise<number> {
    let count = 0;
    const filter = { event: 'recover' };
    for await (const { forwardedTo } of readLines(join(this.#root, 'data', 'journal'), { filter })) {
      if (forwardedTo !== undefined) count += 1;
    }
    return count;
  }
}
