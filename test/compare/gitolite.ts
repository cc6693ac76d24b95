/**
 * Random confs and random questions, answered by this gate's conf language and by the real gitolite: every answer
 * must be the same, word for word. Without gitolite it says so and fails.
 * `adopt` instead: a site of fifty repositories, used by real clients, taken over in place, and used again.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { compileConf, type CompiledConf } from '../../src/access/gitolite/compile-conf.ts';
import type { Attempt } from '../../src/access/gitolite/conf-access.ts';
import { DEFAULT_SETTINGS, type ConfSettings } from '../../src/access/gitolite/conf-settings.ts';
import type { ConfRepository } from '../../src/access/gitolite/rule-index.ts';
import { ATTEMPTS, randomSite, REPOSITORIES, SITE, someRef, USERS, type RandomSite } from './gitolite-confs.ts';
import { hasGitolite, RealSite } from './gitolite-site.ts';
import { newGround, type Ground } from '../gitolite/ground.ts';
import { flagsOrExit } from '../support/flags.ts';
import { Chance } from './random.ts';

const SETTINGS: ConfSettings = {
  ...DEFAULT_SETTINGS,
  hostname: SITE.hostname,
  configKeys: SITE.configKeys,
  safeConfig: SITE.safeConfig,
  roles: new Set(SITE.roles),
  sugar: SITE.sugar,
  keyGroups: SITE.keyGroups,
  hasOuterGroups: true,
};
const LISTINGS: readonly (readonly string[])[] = [
  ['list-repos'],
  ['list-users'],
  ['list-groups'],
  ['list-phy-repos'],
  ['list-members', '@g1'],
  ['list-memberships', '-u', 'u1'],
  ['list-memberships', '-r', 'wild/ab'],
  ['git-config', '-r', 'foo', '.'],
];
const BATCHES = 12;
const DIFFERENCES_MAX = 10;

class Comparison {
  readonly #real: RealSite;
  readonly #ground: Ground;
  decisions = 0;
  configs = 0;
  lists = 0;
  confs = 0;
  refused = 0;
  readonly differences: string[] = [];

  constructor(real: RealSite, ground: Ground) {
    this.#real = real;
    this.#ground = ground;
  }

  async seed(seed: number): Promise<void> {
    const site = randomSite(seed);
    const real = this.#real.place(site);
    const ours = compileConf({ files: site.files, settings: SETTINGS });
    this.confs += 1;
    const realFatal =
      real.code === 0 ? undefined : (/FATAL: (.*)/.exec(real.stderr)?.[1] ?? /.+/.exec(real.stderr)?.[0] ?? '?');
    if (realFatal !== undefined || ours.kind === 'wrong') {
      this.refused += 1;
      const messages = ours.kind === 'wrong' ? ours.problems.map(({ message }) => message) : [];
      const isSame = realFatal !== undefined && messages.some((message) => sameFatal(message, realFatal));
      if (!isSame)
        this.#differ(
          seed,
          site,
          `compile: gitolite ${realFatal ?? 'accepts'}; ours ${messages.join(' / ') || 'accepts'}`,
        );
      return;
    }
    this.#questions(seed, site, ours.compiled);
    await this.#listings(seed, site);
  }

  #questions(seed: number, site: RandomSite, { access }: CompiledConf): void {
    const chance = new Chance(seed ^ 0x5eed);
    const facts = factsOf(site, this.#real.physical());
    for (let batch = 0; batch < BATCHES; batch += 1) {
      const attempt: Attempt = chance.one(ATTEMPTS);
      const ref = someRef(chance);
      const glUser = chance.one(['', ...USERS]);
      const pairs = REPOSITORIES.flatMap((name) => USERS.filter(() => chance.is(50)).map((user) => ({ name, user })));
      const input = pairs.map(({ name, user }) => `${name} ${user}\n`).join('');
      const real = this.#real.run(['access', '%', '%', attempt, ref], input, glUser);
      const lines = real.stdout.split('\n');
      for (const [i, { name, user }] of pairs.entries()) {
        const outerGroups = SITE.outerGroups.get(user) ?? [];
        const answer = access.accessCommand({
          repository: facts(name, glUser),
          user: { name: user, outerGroups },
          attempt,
          ref,
        });
        const ours = `${name}\t${user}\t${answer.text}`;
        this.decisions += 1;
        if (lines[i] !== ours)
          this.#differ(
            seed,
            site,
            `access ${name} ${user} ${attempt} ${ref} GL_USER=${glUser}\n  gitolite: ${lines[i]} ${real.stderr.slice(0, 200)}\n  ours:     ${ours}`,
          );
        if (this.differences.length >= DIFFERENCES_MAX) return;
      }
    }
    const real = this.#real.run(['git-config', '-r', '%', '.'], REPOSITORIES.map((name) => `${name}\n`).join(''));
    const ours = REPOSITORIES.flatMap((name) =>
      [...access.config(facts(name, ''))].map(([key, value]) => `${name}\t${key}\t${value}`),
    );
    this.configs += REPOSITORIES.length;
    const [a, b] = [
      real.stdout
        .split('\n')
        .filter((line) => line !== '')
        .toSorted(),
      ours.toSorted(),
    ];
    if (a.join('\n') !== b.join('\n'))
      this.#differ(
        seed,
        site,
        `config\n  gitolite: ${a.filter((x) => !b.includes(x)).join('; ')}\n  ours: ${b.filter((x) => !a.includes(x)).join('; ')}`,
      );
  }

  /** Our commands on the same account, opened anew. */
  async #listings(seed: number, site: RandomSite): Promise<void> {
    const ground = await this.#ground.reopen();
    for (const args of LISTINGS) {
      const real = this.#real.run(args);
      const ours = await ground.gitolite(args);
      this.lists += 1;
      if (real.stdout !== ours.stdout || real.code !== ours.code)
        this.#differ(
          seed,
          site,
          `${args.join(' ')}\n  gitolite: ${real.code} ${real.stdout}\n  ours: ${ours.code} ${ours.stdout}`,
        );
    }
  }

  #differ(seed: number, site: RandomSite, what: string): void {
    const isFirst = !this.differences.some((one) => one.startsWith(`seed ${seed}:`));
    const files = [...site.files].map(([path, text]) => `--- ${path}\n${text}`).join('\n');
    const wild = site.wild.map((one) => JSON.stringify(one)).join('\n');
    this.differences.push(`seed ${seed}: ${what}${isFirst ? `\n${files}\n--- wild\n${wild}` : ''}`);
  }
}

function sameFatal(ours: string, real: string): boolean {
  return real === ours || ours.startsWith(`${real};`) || real.startsWith(ours);
}

function factsOf(site: RandomSite, physical: ReadonlySet<string>): (name: string, glUser: string) => ConfRepository {
  const wild = new Map(site.wild.map((one) => [one.name, one]));
  return (name, glUser) => {
    const exists = physical.has(name);
    const { creator = '', permissions = '', groups = '' } = wild.get(name) ?? {};
    return {
      name,
      exists,
      creator: exists ? creator : glUser,
      permissions,
      groups: groups.split(' ').filter((word) => word !== ''),
    };
  };
}

/** The test of taking over as `npm test` has it, but whole. */
async function adoption(): Promise<number> {
  const file = fileURLToPath(new URL('../end-to-end/gitolite-adopt.test.ts', import.meta.url));
  const env = { ...process.env, GATEHOUSE_TEST_WHOLE: '1' };
  const [code] = (await once(spawn(process.execPath, ['--test', file], { env, stdio: 'inherit' }), 'close')) as [
    number,
  ];
  return code;
}

async function main(): Promise<number> {
  const { values, words } = flagsOrExit({
    call: 'npm run compare:gitolite --',
    about: 'Random confs and questions, answered by this gate and by the real gitolite: no answer may differ.',
    words: { adopt: 'instead: a site of fifty repositories, used, taken over in place, and used again' },
    flags: {
      seed: { kind: 'count', about: 'of the first conf', default: 1 },
      decisions: { kind: 'count', about: 'to compare at least', default: 20_000, least: 1 },
    },
    examples: ['', '--seed 300 --decisions 5000', 'adopt'],
  });
  if (!hasGitolite()) {
    console.error('COMPARISON NOT MADE: there is no gitolite on this machine (apt-get install gitolite3)');
    return 1;
  }
  if (words.includes('adopt')) return adoption();
  await using ground = await newGround();
  const comparison = new Comparison(new RealSite(ground.home), ground);
  for (let { seed } = values; comparison.decisions < values.decisions; seed += 1) {
    await comparison.seed(seed);
    if (comparison.differences.length >= DIFFERENCES_MAX) break;
  }
  const { decisions, configs, lists, confs, refused, differences } = comparison;
  for (const difference of differences) console.error(difference);
  console.log(
    `${decisions} decisions, ${configs} configurations and ${lists} lists over ${confs} confs (${refused} refused by both), from seed ${values.seed}: ${differences.length} differences`,
  );
  return differences.length === 0 ? 0 : 1;
}

process.exitCode = await main();
