/**
 * `npm run soak:load`: what one gate bears. 1 GiB pushed and cloned over each transport with the gate's own
 * memory watched; 200 idle SSH sessions; 50 clones at once while they idle.
 * Prints a table and ends with 1 where anything failed or memory passed its bound.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { flagsOrExit } from '../support/flags.ts';
import {
  addPerson,
  commitFile,
  git,
  gitOk,
  splitAddress,
  sshOk,
  startSite,
  url,
  type Person,
  type Site,
} from '../support/gate.ts';
import { gateBytes, watchPeak } from '../support/memory.ts';

const MIB = 1024 * 1024;
const MEMORY_BYTES_MAX = 300 * MIB;
const { values } = flagsOrExit({
  call: 'npm run soak:load --',
  about: 'What one gate bears: large pushes and clones with its memory watched, idle sessions, clones at once.',
  flags: {
    mib: { kind: 'count', about: 'size of what is pushed and cloned', default: 1_024, least: 1 },
    sessions: { kind: 'count', about: 'idle SSH sessions', default: 200 },
    clones: { kind: 'count', about: 'clones at once', default: 50, least: 1 },
  },
  examples: ['', '--mib 64 --clones 10'],
});

interface Row {
  readonly what: string;
  readonly result: string;
  readonly passed: boolean;
}
const rows: Row[] = [];
const cleanups: (() => unknown)[] = [];

function report(row: Row): void {
  rows.push(row);
  process.stdout.write(`${row.passed ? 'ok  ' : 'FAIL'}  ${row.what.padEnd(44)} ${row.result}\n`);
}

/** Runs `work` with the gate's memory sampled; a failure or too much memory fails the row. */
async function measured(site: Site, what: string, work: () => Promise<string>): Promise<void> {
  const peak = watchPeak(site.gate.pid);
  const start = performance.now();
  let result: string;
  let passed = true;
  try {
    result = await work();
  } catch (error) {
    result = String(error).slice(0, 500);
    passed = false;
  }
  const bytes = peak.stop();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  report({
    what,
    result: `${result} ${seconds} s, gate at most ${Math.round(bytes / MIB)} MiB`,
    passed: passed && bytes < MEMORY_BYTES_MAX,
  });
}

async function bigTransfers(site: Site, alice: Person, token: string): Promise<void> {
  const tree = join(site.root, 'big');
  const size = values.mib;
  await gitOk(alice, ['init', '-q', '-b', 'main', tree]);
  for (const [key, value] of [
    ['core.compression', '0'],
    ['core.bigFileThreshold', '1m'],
    ['gc.auto', '0'],
  ] as const) {
    await gitOk(alice, ['config', key, value], tree);
  }
  // Sixteen files and one that holds half of it all: both shapes of a large push.
  writeRandom(join(tree, 'half'), size / 2);
  for (let index = 0; index < 16; index += 1) writeRandom(join(tree, `part-${index}`), size / 32);
  await gitOk(alice, ['add', '.'], tree);
  await gitOk(alice, ['commit', '-q', '-m', 'Add much'], tree);
  for (const door of ['ssh', 'http'] as const) {
    await sshOk(alice, site.gate, ['create', `big-${door}`]);
    const to = url(site.gate, door, `big-${door}`, door === 'http' ? token : undefined);
    await measured(site, `push ${size} MiB over ${door}`, async () => {
      await gitOk(alice, ['push', '-q', to, 'main'], tree);
      return '';
    });
  }
  await sshOk(alice, site.gate, ['config', 'big-ssh', 'set', 'public', 'yes']);
  for (const door of ['ssh', 'http', 'git'] as const) {
    await measured(site, `clone ${size} MiB over ${door}`, async () => {
      const to = join(site.root, `big-clone-${door}`);
      await gitOk(alice, [
        'clone',
        '-q',
        '--bare',
        url(site.gate, door, 'big-ssh', door === 'http' ? token : undefined),
        to,
      ]);
      rmSync(to, { recursive: true, force: true });
      return '';
    });
  }
  rmSync(tree, { recursive: true, force: true });
}

function writeRandom(file: string, mib: number): void {
  const whole = Math.max(1, Math.round(mib));
  writeFileSync(file, '');
  for (let count = 0; count < whole; count += 1) writeFileSync(file, randomBytes(MIB), { flag: 'a' });
}

/** Opens one authenticated session without a command; resolves when the gate has let it in. */
async function idleSession(alice: Person, site: Site): Promise<ChildProcess> {
  const { host, port } = splitAddress(site.gate.ssh);
  const options = (alice.env['GIT_SSH_COMMAND'] ?? '')
    .split(' ')
    .slice(1)
    .filter((word) => word !== '-o' && !word.startsWith('LogLevel'));
  const fixed = options.flatMap((word) => (word.includes('=') ? ['-o', word] : [word]));
  const child = spawn('ssh', ['-v', '-N', ...fixed, '-p', port, `git@${host}`], {
    env: alice.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  await new Promise<void>((resolve, reject) => {
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-4000);
      if (/Entering interactive session|pledge: network/.test(text)) resolve();
    });
    child.on('exit', (code) => {
      reject(new Error(`a session ended with ${code}: ${text}`));
    });
  });
  return child;
}

async function crowd(site: Site, alice: Person, token: string): Promise<void> {
  const sessions = values.sessions;
  const clones = values.clones;
  const tree = join(site.root, 'medium');
  await gitOk(alice, ['init', '-q', '-b', 'main', tree]);
  for (let count = 0; count < 40; count += 1) {
    mkdirSync(join(tree, `d${count}`));
    for (let file = 0; file < 20; file += 1) writeFileSync(join(tree, `d${count}`, `f${file}`), randomBytes(2000));
    await gitOk(alice, ['add', '.'], tree);
    await commitFile(alice, tree, 'counter', `${count}\n`);
  }
  await sshOk(alice, site.gate, ['create', 'medium']);
  await gitOk(alice, ['push', '-q', url(site.gate, 'ssh', 'medium'), 'main'], tree);
  const before = gateBytes(site.gate.pid);
  const open: ChildProcess[] = [];
  await measured(site, `${sessions} idle SSH sessions`, async () => {
    for (let count = 0; count < sessions; count += 20) {
      open.push(
        ...(await Promise.all(Array.from({ length: Math.min(20, sessions - count) }, () => idleSession(alice, site)))),
      );
    }
    return `${Math.round((gateBytes(site.gate.pid) - before) / 1024 / sessions)} KiB a session,`;
  });
  await measured(site, `${clones} clones at once beside them`, async () => {
    const ended = await Promise.all(
      Array.from({ length: clones }, (_, index) => {
        const door = index % 2 === 0 ? 'ssh' : 'http';
        return git(alice, [
          'clone',
          '-q',
          url(site.gate, door, 'medium', door === 'http' ? token : undefined),
          join(site.root, `clone-${index}`),
        ]);
      }),
    );
    const failed = ended.filter((one) => one.code !== 0);
    if (failed.length > 0) throw new Error(`${failed.length} failed: ${failed[0]?.stderr}`);
    return 'all served,';
  });
  report({
    what: 'idle sessions still there',
    result: `${open.filter((one) => one.exitCode === null).length} of ${sessions}`,
    passed: open.every((one) => one.exitCode === null),
  });
}

async function main(): Promise<void> {
  const site = await startSite({ after: (cleanup) => cleanups.push(cleanup as () => unknown) });
  const alice = await addPerson(site, 'alice');
  const token =
    /ght_[A-Za-z0-9]+/.exec(await sshOk(alice, site.gate, ['token', 'create', 'soak', '--scope', 'write']))?.[0] ?? '';
  await crowd(site, alice, token);
  await bigTransfers(site, alice, token);
  const code = await site.gate.stop();
  report({ what: 'the gate stops when asked', result: `exit ${code}`, passed: code === 0 });
}

try {
  await main();
} finally {
  for (const cleanup of cleanups.toReversed()) await cleanup();
}
process.exitCode = rows.every((row) => row.passed) ? 0 : 1;
