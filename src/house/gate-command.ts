/**
 * `gatehouse gate --upstreams FILE`: a gate for one job. It says what it will do, asks, makes deploy keys and mirrors, serves
 * until a signal, and takes everything away again. What a gate that was killed left, the next one of its name takes away.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, mkdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir, userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { BOUNDS } from '../base/bounds.ts';
import type { JournalOutcome } from '../audit/entry.ts';
import { newId, systemClock } from '../base/clock.ts';
import { loadConfig, type Config } from '../base/config.ts';
import { writeFileDurably } from '../base/durable.ts';
import { Fault, ok, publicMessageOf, refuse, type Parsed } from '../base/fault.ts';
import { formatDuration } from '../base/units.ts';
import { givenKeys, KEY_BYTES, masterKey, type KeySource } from '../upstream/vault-keys.ts';
import { readyLine, urlsOf, type Urls } from './banner.ts';
import { agentGitconfig, endPasses, ensureAgent, issuePasses, writeCredentials } from './gate-agent.ts';
import { checkUpstreams } from './gate-check.ts';
import { parseDeclaration, type Declaration } from './gate-declaration.ts';
import { clearEarlier, makeMirrors, revokeAll, type JobAbout } from './gate-forges.ts';
import { preflightText } from './gate-preflight.ts';
import { fetchSecrets, readSecretFile, type ReadyUpstream } from './gate-secrets.ts';
import type { Doors } from './doors.ts';
import type { ForgeGround } from './ground.ts';
import { isDataDirectory, type LocalFlags } from './options.ts';
import type { Rooms } from './rooms.ts';
import { awaitStop } from './signals.ts';

/** The gate itself, as far as it is used here. */
export interface JobHouse {
  readonly rooms: Rooms;
  readonly doors: Pick<Doors, 'addresses'>;
  close(): Promise<void>;
}

export interface GateRun {
  readonly openHouse: (options: {
    readonly config: Config;
    readonly program: string;
    readonly vaultKeys: KeySource;
    readonly forges: ForgeGround;
  }) => Promise<JobHouse>;
  readonly flags: LocalFlags;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Keys of the vault that came with the environment. */
  readonly vaultKeys: KeySource | undefined;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/** Everything that was decided before anything is done. */
interface Job {
  readonly gateName: string;
  readonly declarationPath: string;
  readonly declaration: Declaration;
  readonly upstreams: readonly ReadyUpstream[];
  readonly publicKey: string | undefined;
  readonly lifeMs: number;
  readonly config: Config;
  readonly keepsData: boolean;
  readonly credentialsPath: string;
  readonly gitconfigPath: string | undefined;
}

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** In a data directory that a gate for a job made: no other is cleared. */
const MARK = 'gate-for-a-job';
const LIFE_MS = 24 * 3_600_000;

/** The exit code: 0 all went well, 1 not (something may be left at a forge: the words say what), 2 the words or the file are wrong. */
export async function runGate(run: GateRun): Promise<number> {
  const job = await prepare(run);
  if (job.kind === 'refused') {
    run.stderr.write(`gatehouse: ${job.reason}\n`);
    return EXIT_USAGE;
  }
  run.stdout.write(preflightText({ ...job.value, dataDirectory: job.value.config.dataDirectory }));
  if (run.flags.has('--check')) {
    const problems = await checkUpstreams(job.value.upstreams, (line) => void run.stdout.write(`${line}\n`));
    return problems === 0 ? 0 : EXIT_FAILED;
  }
  if (!run.flags.has('--yes')) {
    const no = await confirmed(run);
    if (no !== undefined) {
      run.stderr.write(`gatehouse: ${no}\n`);
      return EXIT_FAILED;
    }
  }
  return serveJob(run, job.value);
}

async function prepare(run: GateRun): Promise<Parsed<Job>> {
  const { flags, env, cwd } = run;
  const file = flags.get('--upstreams')?.at(-1);
  if (file === undefined) return refuse('gate needs --upstreams FILE');
  const declarationPath = resolve(cwd, file);
  const text = await readSecretFile(declarationPath, file);
  if (text.kind === 'refused') return text;
  const declaration = parseDeclaration(text.value);
  if (declaration.kind === 'refused') return refuse(`${file}: ${declaration.reason}`);
  const directory = dirname(declarationPath);
  const upstreams = await fetchSecrets(declaration.value, { env, directory });
  if (upstreams.kind === 'refused') return refuse(`${file}: ${upstreams.reason}`);
  const { agent } = declaration.value;
  const keyFile = agent.publicKeyFile;
  const publicKey = keyFile === undefined ? ok(undefined) : await readSecretFile(resolve(directory, keyFile), keyFile);
  if (publicKey.kind === 'refused') return refuse(`${file}: agent: public-key: ${publicKey.reason}`);
  const data = flags.get('--data')?.at(-1);
  const gateName = declaration.value.name ?? nameOf(declarationPath, data);
  const dataDirectory = data === undefined ? join(jobsDirectory(), gateName) : resolve(cwd, data);
  const config = configOf(run, { dataDirectory, declaration: declaration.value });
  if (config.kind === 'refused') return config;
  const { passLifeMax } = config.value.settings;
  if (agent.lifeMs !== undefined && (agent.lifeMs > passLifeMax || agent.lifeMs < BOUNDS.passLifeMsMin))
    return refuse(
      `${file}: agent: life is from ${formatDuration(BOUNDS.passLifeMsMin)} to ${formatDuration(passLifeMax)}`,
    );
  const [credentials, gitconfig] = [flags.get('--credentials-out')?.at(-1), flags.get('--gitconfig-out')?.at(-1)];
  return ok({
    gateName,
    declarationPath,
    declaration: declaration.value,
    upstreams: upstreams.value,
    publicKey: publicKey.value,
    lifeMs: agent.lifeMs ?? Math.min(LIFE_MS, passLifeMax),
    config: config.value,
    keepsData: data !== undefined,
    credentialsPath: credentials === undefined ? join(dataDirectory, 'agent-credentials') : resolve(cwd, credentials),
    gitconfigPath: gitconfig === undefined ? undefined : resolve(cwd, gitconfig),
  });
}

/**
 * Only the doors that are needed, on free ports, nobody's keys for the administrator, a quiet log: but for what flags say.
 */
function configOf(
  { flags, cwd }: GateRun,
  about: { readonly dataDirectory: string; readonly declaration: Declaration },
): Parsed<Config> {
  const { dataDirectory, declaration } = about;
  const isByKey = declaration.agent.publicKeyFile !== undefined;
  const isCalled = declaration.upstreams.some(({ webhook }) => webhook);
  const free = '127.0.0.1:0';
  const defaults = [
    ['--ssh', isByKey ? free : 'off'],
    ['--http', !isByKey || isCalled ? free : 'off'],
    ['--git', 'off'],
  ] as const;
  const all = new Map([...defaults.map(([flag, text]) => [flag, [text]] as const), ...flags]);
  const file = flags.get('--config')?.at(-1);
  const config = loadConfig({
    flags: all,
    dataDirectory,
    cwd,
    ...(file === undefined ? {} : { file: resolve(cwd, file) }),
  });
  if (config.kind === 'refused') return config;
  const { settings, origins } = config.value;
  if ((isByKey && settings.ssh === 'off') || ((!isByKey || isCalled) && settings.http === 'off'))
    return refuse(
      'a door that the declaration needs is off: the agent comes over http with tokens, over ssh with a key; webhooks need http',
    );
  const quiet = origins.logLevel === 'default' ? { logLevel: 'warn' } : {};
  const admin = settings.admin === '' ? { admin: 'operator' } : {};
  return ok({ ...config.value, administratorKeys: [], settings: { ...settings, ...quiet, ...admin } });
}

/** The same for the same declaration on the same machine. */
function nameOf(declarationPath: string, data: string | undefined): string {
  const where = createHash('sha256')
    .update(JSON.stringify([declarationPath, data ?? '', userInfo().uid]))
    .digest('hex');
  const host = hostname()
    .replace(/[^A-Za-z0-9-]/g, '-')
    .replace(/^-+/, '')
    .slice(0, 24);
  return `${host === '' ? 'gate' : host}-${where.slice(0, 8)}`;
}

function jobsDirectory(): string {
  return join(tmpdir(), `gatehouse-gates-${userInfo().uid}`);
}

/** Why nothing is done; undefined: go on. */
async function confirmed({ stdin, stderr }: GateRun): Promise<string | undefined> {
  if (!stdin.isTTY) return 'nothing was done: there is nobody to ask; read the above, then add --yes';
  const reader = createInterface({ input: stdin, output: process.stderr });
  try {
    const answer = await reader.question('Go on? [y/N] ');
    return /^y(es)?$/i.test(answer.trim()) ? undefined : 'nothing was done';
  } catch {
    stderr.write('\n');
    return 'nothing was done';
  } finally {
    reader.close();
  }
}

/** The data directory, ours alone. @throws Fault 'usage' where somebody else's things are. */
async function makeRoom({ config, keepsData, gateName }: Job): Promise<void> {
  const { dataDirectory } = config;
  if (!keepsData) {
    const parent = dirname(dataDirectory);
    await mkdir(parent, { recursive: true, mode: 0o700 });
    const found = await lstat(parent);
    if (!found.isDirectory() || found.uid !== userInfo().uid || (found.mode & 0o077) !== 0) throw taken(parent);
  }
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  const mark = join(dataDirectory, MARK);
  if (isDataDirectory(dataDirectory) && !existsSync(mark)) {
    throw new Fault('usage', 'data directory is of another gate', {
      publicMessage: `${dataDirectory} is the data directory of a gate that is not for one job: name another with --data`,
    });
  }
  await writeFile(mark, `${gateName}\n`, { mode: 0o600 });
}

function taken(path: string): Fault {
  return new Fault('usage', 'temporary directory is not ours', {
    publicMessage: `${path} is open to others, or theirs: remove it, or name a directory with --data`,
  });
}

async function serveJob(run: GateRun, job: Job): Promise<number> {
  using stop = awaitStop({ onHangUp: () => {} });
  const stopping = new AbortController();
  void stop.asked.then(() => stopping.abort(new Fault('aborted', 'asked to stop', { publicMessage: 'asked to stop' })));
  await makeRoom(job);
  const vaultKeys = run.vaultKeys ?? givenKeys([masterKey(systemClock.randomBytes(KEY_BYTES))]);
  const forges = { gateId: job.gateName };
  const house = await run.openHouse({ config: job.config, program: 'gatehouse', vaultKeys, forges });
  const tell: JobAbout['tell'] = (line, outcome = 'served') => {
    run.stderr.write(`gatehouse: ${line}\n`);
    record(house, line, outcome);
  };
  const about = { rooms: house.rooms, upstreams: job.upstreams, tell };
  let isWell = true;
  try {
    await rm(join(job.config.dataDirectory, 'admin-token'), { force: true });
    const problems = await clearEarlier(about, stopping.signal);
    for (const problem of problems) tell(problem, 'faulted');
    isWell = problems.length === 0;
    await open(run, { job, house, about, signal: stopping.signal });
    await stop.asked;
  } catch (error) {
    if (!stopping.signal.aborted) {
      isWell = false;
      tell(publicMessageOf(error, 'local'), 'faulted');
    }
  }
  return (await end(job, { house, about })) && isWell ? 0 : EXIT_FAILED;
}

/** What was made and taken away stands in the journal, too. */
function record({ rooms }: JobHouse, reason: string, outcome: JournalOutcome): void {
  const request = newId(systemClock);
  const who = { transport: 'local', address: 'local', principal: 'gatehouse' } as const;
  rooms.journal.record({ event: 'gate', outcome, request, ...who, reason });
}

interface Opening {
  readonly job: Job;
  readonly house: JobHouse;
  readonly about: JobAbout;
  readonly signal: AbortSignal;
}

/** Mirrors, passes, and what the agent needs to know. */
async function open(run: GateRun, { job, house, about, signal }: Opening): Promise<void> {
  const { declaration, credentialsPath, gitconfigPath, publicKey, upstreams } = job;
  const { rooms, doors } = house;
  const urls: Urls = urlsOf(doors.addresses, job.config.settings);
  await ensureAgent(rooms, declaration);
  const hookUrl = (id: string): string => `${urls.http ?? ''}/api/v1/hooks/${id}`;
  await makeMirrors(about, declaration.agent, { signal, hookUrl });
  const tokens = await issuePasses(rooms, job);
  const byToken = publicKey === undefined ? credentialsPath : undefined;
  const gitconfig = agentGitconfig({ upstreams, urls, credentialsPath: byToken });
  const user = declaration.agent.name;
  if (byToken !== undefined) await writeCredentials(byToken, { tokens, http: urls.http ?? '', user });
  if (gitconfigPath !== undefined) await writeFileDurably(gitconfigPath, gitconfig, { mode: 0o644 });
  run.stdout.write(readyLine(doors.addresses));
  run.stdout.write(`\n${gitconfig}\n`);
  const how = byToken === undefined ? `the key ${declaration.agent.publicKeyFile ?? ''}` : `the tokens in ${byToken}`;
  run.stdout.write(`# The agent's git needs the lines above, and gets in with ${how}. Ctrl-C ends the gate.\n`);
}

/** Nobody gets in, what runs comes to its end, then everything is taken away. True: nothing is left. */
async function end(job: Job, { house, about }: Pick<Opening, 'house' | 'about'>): Promise<boolean> {
  const { declaration, credentialsPath, keepsData, config } = job;
  await endPasses(house.rooms, declaration.agent.name);
  house.rooms.stopWaiting();
  await house.rooms.walk.drain(BOUNDS.drainMs);
  const problems = await revokeAll(about, new AbortController().signal);
  for (const problem of problems) about.tell(problem, 'faulted');
  if (problems.length > 0) about.tell('the next gate of this name tries again');
  await house.close();
  await rm(credentialsPath, { force: true });
  if (problems.length === 0 && !keepsData) await rm(config.dataDirectory, { recursive: true, force: true });
  return problems.length === 0;
}
