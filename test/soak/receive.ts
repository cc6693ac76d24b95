/**
 * `npm run soak:receive`: pushes drawn by chance (good, thin, corrupt, hostile; both object formats), each given to the push
 * pipeline and to git, which have to agree about it. Prints what was judged without git, and ends with 1 where anything differed.
 */
import { availableParallelism } from 'node:os';
import { inspect } from 'node:util';
import { flagsOrExit } from '../support/flags.ts';
import { runRound, type RoundResult, type Tally } from './receive-round.ts';
import { KINDS, type PushKind } from './receive-pushes.ts';

const PUSHES_A_ROUND = 50;
const { values } = flagsOrExit({
  call: 'npm run soak:receive --',
  about: 'Random pushes, good, corrupt and hostile, to the gate and to git, which have to agree about each.',
  flags: {
    pushes: { kind: 'count', about: 'of all kinds together', default: 20_000, least: 1 },
    seed: { kind: 'count', about: 'of the chances; another one each time unless given' },
    replay: { kind: 'count', about: 'the seed of one round that went wrong: only that round' },
    jobs: { kind: 'count', about: 'rounds at the same time', default: Math.min(2, availableParallelism()), least: 1 },
  },
  examples: ['', '--pushes 500 --seed 5', '--replay 5003'],
});

const total = new Map<PushKind, Tally>(KINDS.map((kind) => [kind, { pushes: 0, accepted: 0, own: 0, why: new Map() }]));
const differences: string[] = [];

function count({ kinds, differences: found }: RoundResult): void {
  for (const [kind, tally] of kinds) {
    const sum = total.get(kind);
    if (sum === undefined) continue;
    sum.pushes += tally.pushes;
    sum.accepted += tally.accepted;
    sum.own += tally.own;
    for (const [why, times] of tally.why) sum.why.set(why, (sum.why.get(why) ?? 0) + times);
  }
  for (const difference of found) process.stdout.write(`DIFFERENT  ${difference}\n`);
  differences.push(...found);
}

const { replay, seed = Date.now() % 1_000_000 } = values;
const first = replay ?? seed * 1_000;
const rounds = replay === undefined ? Math.ceil(values.pushes / PUSHES_A_ROUND) : 1;
process.stdout.write(`seed ${replay ?? seed}, ${rounds} rounds of ${PUSHES_A_ROUND} pushes\n`);
let next = 0;
const started = performance.now();

async function work(): Promise<void> {
  while (next < rounds) {
    const seed = first + next;
    next += 1;
    const failed = (error: unknown): RoundResult => ({
      kinds: new Map(),
      differences: [`seed ${seed}: ${inspect(error)}`],
    });
    count(await runRound({ seed, pushes: PUSHES_A_ROUND }).catch(failed));
    if (next % 20 === 0)
      process.stdout.write(`${next} rounds, ${Math.round((performance.now() - started) / 1000)} s\n`);
  }
}
await Promise.all(Array.from({ length: values.jobs }, work));

process.stdout.write(
  `${'push'.padEnd(16)} ${'all'.padStart(7)} ${'accepted'.padStart(9)} ${'without git'.padStart(12)}\n`,
);
for (const [kind, { pushes, accepted, own }] of total) {
  process.stdout.write(
    `${kind.padEnd(16)} ${String(pushes).padStart(7)} ${String(accepted).padStart(9)} ${String(own).padStart(12)}\n`,
  );
}
for (const [kind, { why }] of total) {
  for (const [reason, times] of why) process.stdout.write(`${kind}, left to git: ${reason}: ${times}\n`);
}
process.stdout.write(differences.length === 0 ? 'git and the gate agree\n' : `${differences.length} differences\n`);
process.exitCode = differences.length === 0 ? 0 : 1;
