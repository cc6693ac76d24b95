/** `npm run bench -- NAME [ARGUMENTS]`: runs one of the benchmarks. They print ratios against a named peer; none of them fails on a time. */

type Bench = (args: readonly string[]) => Promise<number>;

/** Loaded when it is asked for: each needs other programs. */
const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  gitolite: async () => (await import('./gitolite.ts')).benchGitolite,
  peers: async () => (await import('./peers.ts')).benchPeers,
  openssh: async () => (await import('./openssh.ts')).benchOpenSsh,
  scan: async () => (await import('./scan.ts')).benchScan,
};

const [name = '', ...args] = process.argv.slice(2);
const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
if (bench === undefined) {
  process.stderr.write(`Usage: npm run bench -- NAME [ARGUMENTS]; NAME is one of ${Object.keys(BENCHES).join(', ')}\n`);
  process.exitCode = 2;
} else {
  process.exitCode = await (await bench())(args);
}
