/** Rows about a gate with 100,000 repositories, 10,000 users and 20,000 keys: start, memory, ls, look-ups, a policy push. */
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compilePolicy } from '../../src/access/compile.ts';
import { houseFiles } from '../../src/access/house.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Directory } from '../../src/identity/directory.ts';
import { startGitProcesses } from '../../src/git/spawner.ts';
import { Catalogue } from '../../src/repository/catalogue.ts';
import { keepReads } from '../../src/store/kept-reads.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { listAll, type Store } from '../../src/store/store.ts';
import { gitOk, makePerson, sshOk, startGate, url, type Gate, type Person } from '../../test/support/gate.ts';
import { gateBytes, processTree } from '../../test/support/memory.ts';
import type { Scope } from '../../test/support/workspace.ts';
import { confText } from '../gitolite-conf.ts';
import { removeMany } from '../remove.ts';
import { Meter } from './meter.ts';
import { newHome } from './peer.ts';
import type { RowsOptions } from './read-rows.ts';
import { elapsed, type Row } from './row.ts';
import { crowdOf, crowdUser, fillSite } from './scale-site.ts';

const REPOSITORIES = 100_000;
const POLICY_REPOSITORIES = 10_000;
const LOOKED_UP = 20_000;
const DECIDED = 200_000;
const OURS = 'gatehouse ssh';

export interface ScaleRowsOptions extends RowsOptions {
  readonly scope: Scope;
}

interface Site {
  readonly home: string;
  readonly data: string;
  readonly admin: Person;
}

export function scaleRows(options: ScaleRowsOptions): readonly Row[] {
  return [scale(options), policyPush(options)];
}

function scale(options: ScaleRowsOptions): Row {
  const count = options.quick ? REPOSITORIES / 10 : REPOSITORIES;
  const crowd = crowdOf(count);
  const shown = (number: number): string => number.toLocaleString('en-US');
  const of = `with ${shown(count)} repositories`;
  const less = { better: 'less' } as const;
  let site: Site | undefined;
  return {
    name: 'scale',
    shapes: ['small'],
    peers: [OURS],
    roundsMax: 2,
    figures: [
      { key: 'start', title: `start ${of}`, unit: 'ms', ...less, bound: { ours: OURS, value: 3_000 } },
      { key: 'cpu', title: 'the same, server CPU', unit: 'ms', ...less },
      { key: 'memory', title: `memory after the start ${of}`, unit: 'MiB', ...less, bound: { ours: OURS, value: 300 } },
      { key: 'ls', title: `ls of ${shown(count)} repositories, over SSH`, unit: 'ms', ...less },
      { key: 'after', title: 'memory after that', unit: 'MiB', ...less },
      {
        key: 'key',
        title: `look-ups of one of ${shown(crowd.users * crowd.keysPerUser)} keys`,
        unit: '/CPU s',
        better: 'more',
      },
      {
        key: 'decision',
        title: `decisions of the house rules about ${shown(crowd.users)} users`,
        unit: '/CPU s',
        better: 'more',
      },
    ],
    async prepare() {
      site = await makeSite(options, 'scale', count);
    },
    async run() {
      if (site === undefined) return {};
      let gate: Gate | undefined;
      const start = await elapsed(async () => {
        gate = site && (await startAgain(options.scope, site));
      });
      if (gate === undefined) return {};
      const served = gate;
      const cpu = spentMs(served.pid);
      const memory = gateBytes(served.pid) / 2 ** 20;
      let listed = '';
      const { admin } = site;
      const ls = await elapsed(async () => {
        listed = await sshOk(admin, served, ['ls']);
      });
      const after = gateBytes(served.pid) / 2 ** 20;
      await served.stop();
      const lines = listed.split('\n').filter((line) => line.includes('project-')).length;
      if (lines !== count) throw new Error(`ls shows ${lines} repositories, not ${count}`);
      return { start, cpu, memory, ls, after, ...(await inProcess(site)) };
    },
  };
}

/** Processor time that a process and those below it have had, in steps of 10 ms. */
function spentMs(pid: number): number {
  return processTree(pid).reduce((sum, each) => {
    const stat = readFileSync(`/proc/${each.pid}/stat`, 'utf8');
    // proc(5): utime and stime are the 14th and 15th; the name in parentheses may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum + 10 * (Number(fields[11]) + Number(fields[12]));
  }, 0);
}

/** What a request asks of memory and store, without the request. */
async function inProcess({ data }: Site): Promise<{ readonly key: number; readonly decision: number }> {
  const store = keepReads(await openSqliteStore({ path: join(data, 'gatehouse.db') }));
  const processes = await startGitProcesses({ isolation: 'off' });
  try {
    const directory = new Directory({ store, clock: systemClock });
    const blobs = await someKeys(store);
    const lookUpMs = await spent(async () => {
      for (const blob of blobs) if (!(await directory.isKnownKey(blob))) throw new Error('a key is unknown');
    });
    const decideMs = await decisions(
      directory,
      new Catalogue({ store, processes, clock: systemClock, root: join(data, 'repositories') }),
    );
    return { key: (1_000 * blobs.length) / lookUpMs, decision: (1_000 * DECIDED) / decideMs };
  } finally {
    await processes.close();
    await store.close();
  }
}

/** Milliseconds of this process's processor time. */
async function spent(act: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

async function someKeys(store: Store): Promise<readonly Buffer[]> {
  const blobs: Buffer[] = [];
  for await (const { value } of listAll(store, 'key')) {
    blobs.push(Buffer.from((value as { readonly blob: string }).blob, 'base64'));
    if (blobs.length === LOOKED_UP) break;
  }
  return blobs;
}

/** Milliseconds of processor time for so many questions, of other users about other repositories each time. */
async function decisions(directory: Directory, catalogue: Catalogue): Promise<number> {
  const compiled = compilePolicy(houseFiles());
  if (compiled.kind === 'wrong') throw new Error('the house rules do not compile');
  const { policy } = compiled;
  const repositories = await catalogue.list({ limit: 1_000 });
  const principals = await Promise.all(
    Array.from({ length: 1_000 }, (_, index) => directory.principalOf(crowdUser(index), { kind: 'local' })),
  );
  let allowed = 0;
  const ms = await spent(async () => {
    for (let index = 0; index < DECIDED; index += 1) {
      const repository = repositories[(index * 7) % repositories.length];
      const principal = principals[(index * 13) % principals.length];
      if (repository === undefined || principal === undefined) throw new Error('the crowd has gaps');
      if (policy.decide({ principal, operation: 'read', repository }).kind === 'allowed') allowed += 1;
    }
  });
  // A third of the crowd's repositories are public.
  if (allowed < DECIDED / 4 || allowed > DECIDED / 2) throw new Error(`${allowed} of ${DECIDED} were allowed`);
  return ms;
}

/** One line, from `git push` to its end; with the rules of the house, and with a gitolite conf that names each repository. */
function policyPush(options: ScaleRowsOptions): Row {
  const count = options.quick ? POLICY_REPOSITORIES / 10 : POLICY_REPOSITORIES;
  const of = `${count.toLocaleString('en-US')} repositories`;
  const figure = { unit: 'ms', better: 'less', bound: { ours: OURS, value: 1_000 } } as const;
  let tree = '';
  let open: { readonly site: Site; readonly gate: Gate; readonly meter: Meter } | undefined;
  return {
    name: 'policy-push',
    shapes: ['small'],
    peers: [OURS],
    figures: [
      { key: 'house', title: `push of one line of the house rules, ${of}`, ...figure },
      { key: 'conf', title: `push of one line of a gitolite conf of ${of}`, ...figure },
      { key: 'cpu', title: 'the latter, server CPU', unit: 'ms', better: 'less' },
    ],
    async prepare() {
      const site = await makeSite(options, 'policy-push', count);
      const gate = await startAgain(options.scope, site);
      options.scope.after(() => gate.stop());
      const meter = new Meter(options.scope, 'policy-push');
      meter.add(gate.pid);
      tree = join(site.home, 'tree');
      rmSync(tree, { recursive: true, force: true });
      await gitOk(site.admin, ['clone', '-q', url(gate, 'ssh', 'gatehouse-admin'), tree]);
      open = { site, gate, meter };
    },
    async run(_peer, round) {
      if (open === undefined) return {};
      const { site, gate, meter } = open;
      const push = async (): Promise<number> => {
        await gitOk(site.admin, ['add', '-A'], tree);
        await gitOk(site.admin, ['commit', '-q', '-m', 'Change one line'], tree);
        return elapsed(() => gitOk(site.admin, ['push', '-q', url(gate, 'ssh', 'gatehouse-admin'), 'HEAD'], tree));
      };
      appendFileSync(join(tree, 'rules/main.lace'), `# line ${round}\n`);
      const house = await push();
      mkdirSync(join(tree, 'conf'));
      writeFileSync(join(tree, 'conf/gitolite.toml'), 'config-keys = [".*"]\n');
      writeFileSync(join(tree, 'conf/gitolite.conf'), confText({ repositories: count, users: count }));
      await push();
      appendFileSync(join(tree, 'conf/gitolite.conf'), `repo extra-${round}\n    RW = user1\n`);
      let conf = Number.NaN;
      const cpu = await meter.cost(async () => {
        conf = await push();
      });
      rmSync(join(tree, 'conf'), { recursive: true });
      await push();
      return { house, conf, cpu };
    },
  };
}

async function makeSite({ root, scope }: ScaleRowsOptions, name: string, repositories: number): Promise<Site> {
  const home = newHome({ root }, name);
  scope.after(() => removeMany(home));
  const admin = await makePerson(home, 'admin');
  const data = join(home, 'data');
  const args = ['--admin', 'admin', '--admin-key', `${admin.keyFile}.pub`];
  await (await startGate(scope, { data, home: admin.home, args })).stop();
  await fillSite(data, crowdOf(repositories));
  return { home, data, admin };
}

function startAgain(scope: Scope, { data, admin }: Site): Promise<Gate> {
  return startGate(scope, { data, home: admin.home, args: ['--log-level', 'warn'] });
}
