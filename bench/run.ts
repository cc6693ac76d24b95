/** `npm run bench` runs all benchmarks, `npm run bench -- NAME [ARGUMENTS]` one. They print ratios against a named peer; none of them fails on a time. */

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
  openssh: ['5'],
  scan: ['--megabytes', '20', '--plants', '1000'],
};

const [name, ...args] = process.argv.slice(2);
if (name === undefined || name.startsWith('--')) process.exitCode = await runAll(process.argv.slice(2));
else {
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
  if (bench === undefined) {
    const names = Object.keys(BENCHES).join(', ');
    process.stderr.write(
      `Usage: npm run bench [-- NAME [ARGUMENTS]]; NAME is one of ${names}; without one: all of them\n`,
    );
    process.exitCode = 2;
  } else process.exitCode = await (await bench())(args);
}

/** One after another. `--quick` makes all of them shorter. Resolves with the worst exit code. */
async function runAll(args: readonly string[]): Promise<number> {
  if (args.some((word) => word !== '--quick')) {
    process.stderr.write('Without a name only --quick is taken\n');
    return 2;
  }
  const isQuick = args.length > 0;
  let code = 0;
  const took: string[] = [];
  for (const [name, load] of Object.entries(BENCHES)) {
    process.stdout.write(`\n== ${name}\n`);
    const start = performance.now();
    const bench = await load();
    code = Math.max(code, await bench(isQuick ? (QUICK[name] ?? []) : (ALL[name] ?? [])));
    took.push(`${name} ${minutes(performance.now() - start)}`);
  }
  process.stdout.write(`\nMinutes: ${took.join(', ')}; ${minutes(performance.now())} in all\n`);
  return code;
}
