/**
 * `npm run soak:gate`: three clients push and one fetches through a gate in front of an upstream, while
 * the upstream is killed, refusing, slow, cut off or changed by somebody else, and the gate killed, at random moments. After
 * each round gate and upstream have to agree, with nothing acknowledged missing and nothing refused there. Then the same
 * checks have to catch gates that are broken on purpose. Ends with 1 where a promise was broken or a broken gate was not caught.
 */
import { flagsOrExit } from '../support/flags.ts';
import { workspace, type Scope } from '../support/workspace.ts';
import { BROKEN_GATES, runBroken } from './gate-broken.ts';
import { runGateRounds, type GateTally } from './gate-rounds.ts';

const { values } = flagsOrExit({
  call: 'npm run soak:gate --',
  about:
    'Pushes and fetches through a gate in front of an upstream while both fail at random moments; both have to agree.',
  flags: {
    rounds: { kind: 'count', about: 'of faults', default: 200 },
    seed: { kind: 'count', about: 'of the chances; another one each time unless given' },
    broken: { kind: 'text', value: 'NAME', about: `only this broken gate: ${BROKEN_GATES.join(', ')}` },
  },
  examples: ['', '--rounds 60 --seed 7'],
});

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function table(tally: GateTally): void {
  say('| what goes wrong | rounds | acknowledged | refused | nobody knows | stale | found out later |');
  say('| --- | --- | --- | --- | --- | --- | --- |');
  for (const [kind, { rounds, done, refused, unknown, stale, recovered }] of tally.kinds) {
    say(`| ${kind} | ${rounds} | ${done} | ${refused} | ${unknown} | ${stale} | ${recovered} |`);
  }
}

const cleanups: (() => unknown)[] = [];
const scope: Scope = {
  after(cleanup) {
    cleanups.push(cleanup as () => unknown);
  },
};
const { rounds, seed = Date.now() % 1_000_000 } = values;
let failed = false;
say(`seed ${seed}, ${rounds} rounds, in ${workspace(scope)}`);
try {
  if (values.broken === undefined) {
    const tally = await runGateRounds(scope, {
      seed,
      rounds,
      onRound: (round, kind, problems) => {
        if (problems.length > 0 || round % 20 === 19) say(`round ${round + 1} (${kind}): ${problems.length} problems`);
      },
    });
    table(tally);
    for (const problem of tally.problems.slice(0, 30)) say(`  ${problem}`);
    failed = tally.problems.length > 0;
  }
  const chosen = BROKEN_GATES.filter((name) => values.broken === undefined || values.broken === name);
  for (const name of chosen) {
    const problems = await runBroken(scope, name, seed);
    say(`broken on purpose (${name}): ${problems.length > 0 ? `caught: ${problems[0]}` : 'NOT CAUGHT'}`);
    failed ||= problems.length === 0;
  }
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
say(failed ? 'FAILED' : 'all as promised');
process.exitCode = failed ? 1 : 0;
