/**
 * Everything that has to be on the machine before Gatehouse, its tests or its checks run: the packages of
 * package-lock.json, git, and (for tests) the client programs. Runs on any Node from 20 on, needs nothing
 * else, and says nothing and takes milliseconds when there is nothing to do.
 *
 *   node scripts/setup.mjs [--for tests]
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  linkSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { argv, env, execPath, getuid, pid, versions } from 'node:process';
import { fileURLToPath } from 'node:url';

export const ROOT = join(import.meta.dirname ?? fileURLToPath(new URL('.', import.meta.url)), '..');

const STAMP = join(ROOT, 'node_modules', '.gatehouse-setup.json');
const LOCK = join(ROOT, '.setup-lock');
const GIT_MIN = [2, 31];
const NODE_MIN = 24;
/** What could not be installed is tried again after this long, not at every start. */
const RETRY_MS = 60 * 60_000;
const LOCK_WAIT_MS = 10 * 60_000;

/** A program or a Python module, the Debian package that brings it, and what goes without it. */
const SERVER_PROGRAMS = [{ name: 'bwrap', package: 'bubblewrap', without: 'git processes run with less confinement' }];
const TEST_PROGRAMS = [
  { name: 'ssh', package: 'openssh-client', without: 'tests with the OpenSSH client are skipped' },
  { name: 'sshd', package: 'openssh-server', without: 'tests of a site behind OpenSSH are skipped' },
  { name: 'gitolite', package: 'gitolite3', without: 'comparisons with the real gitolite are skipped' },
  { name: 'nginx', package: 'nginx-light', without: 'tests of a site behind nginx are skipped' },
  { name: 'fcgiwrap', package: 'fcgiwrap', without: 'tests of a site behind nginx are skipped' },
  { name: 'ssh-keygen', package: 'openssh-client', without: 'tests that make keys are skipped' },
  { name: 'dbclient', package: 'dropbear-bin', without: 'tests with dbclient are skipped' },
  { name: 'plink', package: 'putty-tools', without: 'tests with plink are skipped' },
  { name: 'jgit', package: 'jgit-cli', without: 'tests with JGit are skipped' },
  { name: 'mkfs.ext4', package: 'e2fsprogs', without: 'the power-cut test is skipped' },
  { name: 'losetup', package: 'mount', without: 'the power-cut test is skipped' },
  { name: 'curl', package: 'curl', without: 'tests with curl are skipped' },
  { name: 'openssl', package: 'openssl', without: 'tests of TLS are skipped' },
  { name: 'git-lfs', package: 'git-lfs', without: 'tests of Git LFS are skipped' },
  { name: 'gpg', package: 'gnupg', without: 'tests with OpenPGP keys of gpg are skipped' },
  { name: 'python3', package: 'python3', without: 'tests with dulwich and libgit2 are skipped' },
  { module: 'dulwich', name: 'dulwich', package: 'python3-dulwich', without: 'tests with dulwich are skipped' },
  { module: 'pygit2', name: 'pygit2', package: 'python3-pygit2', without: 'tests with libgit2 are skipped' },
];

function say(text) {
  process.stderr.write(`gatehouse setup: ${text}\n`);
}

/** Where `name` lies, looking where Debian keeps system programs too: a user's PATH may lack /usr/sbin. */
function findProgram(name) {
  const directories = [...(env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  for (const directory of directories) {
    if (directory === '') continue;
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here: look on
    }
  }
  return undefined;
}

function isPresent(program) {
  if (program.module === undefined) return findProgram(program.name) !== undefined;
  // Importing pygit2 costs a tenth of a second; its directory being there is what apt can answer for.
  return existsSync(join('/usr/lib/python3/dist-packages', program.module));
}

function gitVersion() {
  const run = spawnSync('git', ['--version'], { encoding: 'utf8' });
  const match = /(\d+)\.(\d+)/.exec(run.stdout ?? '');
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

function isGitEnough() {
  const found = gitVersion();
  if (found === undefined) return false;
  return found[0] > GIT_MIN[0] || (found[0] === GIT_MIN[0] && found[1] >= GIT_MIN[1]);
}

/** Whether this machine lets us install packages without asking anybody. */
function canInstall() {
  return getuid?.() === 0 && findProgram('apt-get') !== undefined;
}

function aptGet(words, options = {}) {
  const bounds = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::http::Timeout=20', '-o', 'Acquire::Retries=1'];
  return (
    spawnSync('apt-get', ['-q', '-y', ...bounds, ...words], {
      // Programs are wanted, not services: with this run level Debian starts none of what it installs.
      env: { ...env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
      stdio: ['ignore', options.quiet === true ? 'ignore' : 2, options.quiet === true ? 'ignore' : 2],
      timeout: 15 * 60_000,
    }).status === 0
  );
}

/** Installs Debian packages. One that does not exist on this release must not keep the others away. */
function install(packages) {
  say(`installing ${packages.join(' ')} with apt-get`);
  const words = ['install', '--no-install-recommends', ...packages];
  if (aptGet(words, { quiet: true })) return;
  // A fresh machine has no package lists yet.
  aptGet(['update'], { quiet: true });
  if (aptGet(words, { quiet: true })) return;
  for (const name of packages) aptGet(['install', '--no-install-recommends', name], { quiet: true });
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function lockFingerprint() {
  return createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex');
}

/** Node as a package of the lock file, else this one if it is recent enough to run TypeScript as it is. */
export function findNode() {
  const brought = join(ROOT, 'node_modules', '.bin', 'node');
  if (existsSync(brought)) return brought;
  return Number(versions.node.split('.')[0]) >= NODE_MIN ? execPath : undefined;
}

/** What `npm ci` by hand left: npm's own record of node_modules says the same as the lock file. */
function isInstalled() {
  const wanted = readJson(join(ROOT, 'package-lock.json'))?.packages;
  const found = readJson(join(ROOT, 'node_modules', '.package-lock.json'))?.packages;
  if (wanted === undefined || found === undefined) return false;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const there = found[path];
    if (there === undefined && entry.optional === true) continue;
    if (there?.version !== entry.version || there?.integrity !== entry.integrity) return false;
    if (!existsSync(join(ROOT, path, 'package.json'))) return false;
  }
  return Object.keys(found).every((path) => path in wanted);
}

function isReady(stamp) {
  return (
    stamp?.lock === lockFingerprint() &&
    stamp.platform === `${process.platform}-${process.arch}` &&
    findNode() !== undefined
  );
}

/** @param afterKill an earlier set-up was killed: its npm may still be at work for a while, in the same directory */
function installPackages({ afterKill }) {
  say('installing the packages of package-lock.json with npm ci');
  let run = npmCi();
  for (let triesLeft = afterKill ? 3 : 0; run.status !== 0 && triesLeft > 0; triesLeft -= 1) {
    say('trying again: an earlier set-up was cut short and may still be ending');
    pause(10_000);
    run = npmCi();
  }
  if (run.error !== undefined) fail(`npm could not be started (${run.error.message}); run: npm ci in ${ROOT}`);
  if (run.status !== 0) fail('npm ci failed (see above); once it works, run the same command again');
  if (findNode() === undefined) {
    fail(`no Node for ${process.platform}-${process.arch} comes with the packages: install Node ${NODE_MIN} or later`);
  }
}

function npmCi() {
  const npm = env.npm_execpath?.endsWith('.js') === true ? [execPath, env.npm_execpath] : ['npm'];
  return spawnSync(npm[0], [...npm.slice(1), 'ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: ROOT,
    // npm start sets npm_config_* for its own call; an outer --prefix or --omit must not reach this one.
    env: Object.fromEntries(
      Object.entries(env).filter(([key]) => !/^npm_config_(prefix|omit|local_prefix|global)$/.test(key)),
    ),
    stdio: ['ignore', 2, 2],
  });
}

function pause(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

export class SetupError extends Error {}

function fail(text) {
  throw new SetupError(text);
}

function isRunning(number) {
  try {
    process.kill(number, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * One set-up at a time in a checkout: two `npm ci` at once leave neither's node_modules. The lock is a file
 * with its holder's pid, linked into place whole, so that nobody ever reads a lock without a holder.
 * @returns whether the last holder was killed
 */
function takeLock() {
  const own = `${LOCK}.${pid}`;
  try {
    writeFileSync(own, String(pid));
  } catch (error) {
    fail(`cannot write in ${ROOT}: ${error.message}`);
  }
  const end = Date.now() + LOCK_WAIT_MS;
  let told = false;
  let afterKill = false;
  while (!linkIfAbsent(own, LOCK)) {
    if (clearStaleLock()) afterKill = true;
    if (Date.now() > end) fail(`another set-up has held ${LOCK} for too long: remove that file if none is running`);
    if (!told) say('waiting for another set-up of this checkout');
    told = true;
    pause(100);
  }
  rmSync(own, { force: true });
  return { afterKill };
}

function linkIfAbsent(from, to) {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Takes away the lock of a process that is gone. Of two that try, one may move the other's new lock: put back. */
function clearStaleLock() {
  const holder = Number(readJson(LOCK) ?? 0);
  if (holder === 0 || isRunning(holder)) return false;
  const aside = `${LOCK}.stale.${pid}`;
  try {
    renameSync(LOCK, aside);
  } catch {
    return false;
  }
  if (Number(readJson(aside)) !== holder) linkIfAbsent(aside, LOCK);
  rmSync(aside, { force: true });
  return true;
}

function setUpPackages() {
  if (isReady(readJson(STAMP))) return;
  const taken = takeLock();
  try {
    if (isReady(readJson(STAMP))) return;
    if (!isInstalled()) installPackages(taken);
    writeStamp({ lock: lockFingerprint(), platform: `${process.platform}-${process.arch}`, tried: {} });
  } finally {
    rmSync(LOCK, { force: true });
  }
}

function writeStamp(stamp) {
  try {
    writeFileSync(STAMP, `${JSON.stringify(stamp)}\n`);
  } catch {
    // A checkout that this user may not write to: the check is repeated next time, nothing is lost.
  }
}

function setUpGit() {
  if (isGitEnough()) return;
  if (canInstall()) install(['git']);
  if (isGitEnough()) return;
  const found = gitVersion();
  const what = found === undefined ? 'git is missing' : `git ${found.join('.')} is too old`;
  fail(`${what}: Gatehouse needs git ${GIT_MIN.join('.')} or later; as root on Debian: apt-get install git`);
}

/** Installs what is absent where that is possible; returns what is absent still. */
function setUpPrograms(programs) {
  const absent = programs.filter((program) => !isPresent(program));
  if (absent.length === 0) return [];
  const stamp = readJson(STAMP) ?? {};
  const tried = stamp.tried ?? {};
  const due = absent.filter((program) => Date.now() - (tried[program.name] ?? 0) > RETRY_MS);
  if (canInstall() && due.length > 0) {
    install([...new Set(due.map((program) => program.package))]);
    const now = Date.now();
    writeStamp({ ...stamp, tried: { ...tried, ...Object.fromEntries(due.map((program) => [program.name, now])) } });
  }
  const left = programs.filter((program) => !isPresent(program));
  for (const program of left) {
    say(`${program.name} is missing (Debian package ${program.package}): ${program.without}`);
  }
  return left.map((program) => program.name);
}

/**
 * Makes the machine ready.
 * @returns the Node to run Gatehouse with, and the names of optional programs that are missing.
 * @throws SetupError with a sentence for a person
 */
export function setUp({ tests = false } = {}) {
  setUpPackages();
  setUpGit();
  const missing = setUpPrograms(tests ? [...SERVER_PROGRAMS, ...TEST_PROGRAMS] : SERVER_PROGRAMS);
  const node = findNode();
  if (node === undefined) fail(`no Node ${NODE_MIN} or later was found`);
  return { node, missing };
}

/** `setUp` for a script: a problem is one sentence and exit code 1. */
export function setUpOrExit(options) {
  try {
    return setUp(options);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    return process.exit(1);
  }
}

if (argv[1] !== undefined && fileURLToPath(import.meta.url) === realpathSync(argv[1])) {
  const rest = argv.slice(2);
  if (rest.length > 0 && rest.join(' ') !== '--for tests') {
    process.stderr.write('usage: node scripts/setup.mjs [--for tests]\n');
    process.exit(2);
  }
  setUpOrExit({ tests: rest.length > 0 });
}
