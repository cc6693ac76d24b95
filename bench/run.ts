/** `npm run bench` runs all benchmarks, `npm run bench -- NAME [FLAGS]` one. They print ratios against a named peer; none of them fails on a time. */
import { type AnyProgram, readFlags } from '../test/support/flags.ts';
import { minutes } from './peers/row.ts';

type Bench = (args: readonly string[]) => Promise<number>;

/** Loaded when it is asked for: each needs other programs. */
const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  gitolite: async () => (await import('./gitolite.ts')).benchGitolite,
  peers: async () => (await import('./peers.ts')).benchPeers,
  openssh: async () => (await import('./openssh.ts')).benchOpenSsh,
  mirror: async () => (await import('./mirror.ts')).benchMirror,
  scan: async () => (await import('./scan.ts')).benchScan,
};

/** What a run of all of them asks of each, to end within half an hour. */
const ALL: Readonly<Record<string, readonly string[]>> = { gitolite: ['--rounds', '1'], peers: ['--rounds', '3'] };
const QUICK: Readonly<Record<string, readonly string[]>> = {
  gitolite: ['--quick'],
  peers: ['--quick'],
  openssh: ['--rounds', '5'],
  scan: ['--megabytes', '20', '--plants', '1000'],
};

const PROGRAM = {
  call: 'npm run bench',
  about: 'Gatehouse beside what people run today: ratios from one run. None of the benches fails on a time.',
  words: {
    '-- NAME [FLAGS]': `one of ${Object.keys(BENCHES).join(', ')}; without a name all of them; each has --help`,
  },
  flags: {
    quick: { kind: 'switch', about: 'all of them, shorter: to see whether they work' },
    json: { kind: 'switch', about: 'a line of JSON for each bench, and nothing else on standard output' },
  },
  examples: ['', '-- --quick', '-- peers --rows ls-remote'],
} satisfies AnyProgram;

const [name, ...args] = process.argv.slice(2);
const bench = name !== undefined && Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
process.exitCode = bench === undefined ? await runAll(process.argv.slice(2)) : await (await bench())(args);

/** One after another. Resolves with the worst exit code. */
async function runAll(args: readonly string[]): Promise<number> {
  const flags = readFlags(PROGRAM, args);
  if (flags.kind === 'end') return flags.code;
  const { quick, json } = flags.values;
  let code = 0;
  const took: string[] = [];
  const tell = (text: string): boolean => (json ? process.stderr : process.stdout).write(text);
  for (const [name, load] of Object.entries(BENCHES)) {
    tell(`\n== ${name}\n`);
    const start = performance.now();
    const bench = await load();
    const asked = (quick ? QUICK : ALL)[name] ?? [];
    code = Math.max(code, await bench(json ? [...asked, '--json'] : asked));
    took.push(`${name} ${minutes(performance.now() - start)}`);
  }
  tell(`\nMinutes: ${took.join(', ')}; ${minutes(performance.now())} in all\n`);
  return code;
}
