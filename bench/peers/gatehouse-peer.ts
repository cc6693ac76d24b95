/** Gatehouse as it is shipped: house ruleset, journal, durability, housekeeping on. One gate behind three doors. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makePerson, splitAddress, sshOk, startGate, type Gate, type Person } from '../../test/support/gate.ts';
import { Meter } from './meter.ts';
import { clientEnvironment, fillings, newHome, sshArgv, type BenchGround, type Peer } from './peer.ts';
import { fill } from './shapes.ts';

export interface OurSite {
  readonly gate: Gate;
  readonly admin: Person;
  readonly meter: Meter;
  readonly peers: readonly Peer[];
}

/** @param profile a directory for what V8 sampled (`--cpu-prof`), to be written when the gate stops. */
export async function startGatehouse(ground: BenchGround, profile?: string): Promise<OurSite> {
  const home = newHome(ground, 'gatehouse');
  const data = join(home, 'data');
  const admin = await makePerson(home, 'admin');
  const meter = new Meter(ground.scope, 'gatehouse');
  const args = ['--admin', 'admin', '--admin-key', `${admin.keyFile}.pub`, '--log-level', 'warn'];
  const start = (env: NodeJS.ProcessEnv = {}): Promise<Gate> =>
    startGate(ground.scope, { data, home: admin.home, args, env });
  const first = await start();
  const created = await sshOk(admin, first, ['token', 'create', 'bench', '--scope', 'write']);
  const token = /ght_[A-Za-z0-9]+/.exec(created)?.[0] ?? '';
  const targets = await createAll(ground, { gate: first, admin, data });
  await first.stop();
  for (const [template, path] of targets) await fill(template, path);
  const gate = await start(profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` });
  meter.add(gate.pid);
  ground.scope.after(() => gate.stop());
  return { gate, admin, meter, peers: doorsOf({ gate, admin, token, meter }) };
}

/**
 * Made by command; later each gets the same packs, byte for byte, that the others serve. Gives templates with the
 * directories that they go to.
 */
async function createAll(
  ground: BenchGround,
  { gate, admin, data }: { readonly gate: Gate; readonly admin: Person; readonly data: string },
): Promise<readonly (readonly [string, string])[]> {
  const targets: [string, string][] = [];
  const known = new Set(homesBelow(join(data, 'repositories')));
  for (const [name, template] of fillings(ground.templates)) {
    await sshOk(admin, gate, ['create', name]);
    await sshOk(admin, gate, ['config', name, 'set', 'public', 'yes']);
    const fresh = homesBelow(join(data, 'repositories')).filter((path) => !known.has(path));
    const [path] = fresh;
    if (path === undefined || fresh.length > 1) throw new Error(`${fresh.length} directories came with ${name}`);
    known.add(path);
    targets.push([template, path]);
  }
  return targets;
}

function homesBelow(root: string): readonly string[] {
  return readdirSync(root, { recursive: true })
    .map((path) => join(root, String(path)))
    .filter((path) => /\/[0-9a-f]{2}\/[0-9a-f]{2}\/[0-9a-f]{32}\.git$/.test(path));
}

/** A gate that has served nobody yet: what grows in it is not hidden by what it has had. Shows its SSH door. */
export async function startEmptyGate(ground: Pick<BenchGround, 'scope' | 'root'>, name: string): Promise<Peer> {
  const home = newHome(ground, name);
  const admin = await makePerson(home, 'admin');
  const meter = new Meter(ground.scope, name);
  const args = ['--admin', 'admin', '--admin-key', `${admin.keyFile}.pub`, '--log-level', 'warn'];
  const gate = await startGate(ground.scope, { data: join(home, 'data'), home: admin.home, args });
  meter.add(gate.pid);
  const [door] = doorsOf({ gate, admin, token: '', meter });
  if (door === undefined) throw new Error('a gate without doors');
  return door;
}

function doorsOf(site: Omit<OurSite, 'peers'> & { readonly token: string }): readonly Peer[] {
  const { gate, admin, meter, token } = site;
  const { host, port } = splitAddress(gate.ssh);
  const argv = sshArgv(admin.keyFile, { host, port, user: 'git' });
  const git = splitAddress(gate.git);
  const headers = { authorization: `Basic ${Buffer.from(`bench:${token}`).toString('base64')}` };
  return [
    {
      name: 'gatehouse ssh',
      meter,
      reach: { kind: 'ssh', argv, path: (repository) => repository },
      env: { ...clientEnvironment(admin.home), GIT_SSH_COMMAND: argv.join(' '), GIT_SSH_VARIANT: 'ssh' },
      url: (repository) => `bench:${repository}`,
    },
    {
      name: 'gatehouse http',
      meter,
      reach: { kind: 'http', headers },
      env: clientEnvironment(admin.home, { 'http.extraHeader': `Authorization: ${headers.authorization}` }),
      url: (repository) => `http://${gate.http}/${repository}`,
    },
    {
      name: 'gatehouse git',
      meter,
      reach: { kind: 'git', host: git.host, port: Number(git.port) },
      env: clientEnvironment(admin.home),
      url: (repository) => `git://${gate.git}/${repository}`,
    },
  ];
}
