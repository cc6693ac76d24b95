/** A gate with one place for work, clients that hold it, and clients that wait for it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { encodePkt } from '../../src/git/pkt-line.ts';
import { daemonRequest, dial } from '../support/attacker.ts';
import { commitFile, gitOk, sshOk, startGate, startSite, url, type Person, type Site } from '../support/gate.ts';

export const BUSY =
  /gatehouse: the server is busy: waiting for a place since \d+ s, (?:you are next|\d+ waits? before you)/;

/** A git that runs on its own; `said` resolves once its standard error has matched. */
export function starts(person: Person, args: readonly string[], cwd: string) {
  const child = spawn('git', [...args], { cwd, env: person.env, detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const { promise: heard, resolve } = Promise.withResolvers<string>();
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    if (BUSY.test(stderr)) resolve(stderr);
  });
  const ended = once(child, 'close').then(([code]) => {
    resolve(stderr);
    return { code: code as number | null, stderr };
  });
  // As a terminal does: git and what it started.
  const interrupt = (): boolean => process.kill(-(child.pid ?? 0), 'SIGINT');
  return { heard, ended, interrupt };
}

/** One place for work, nothing kept, and a public repository. */
export async function narrowSite(t: TestContext): Promise<Site> {
  const site = await startSite(t);
  const { admin } = site;
  await site.gate.stop();
  writeFileSync(join(site.root, 'data', 'gatehouse.toml'), '[limits]\nwork-max = 1\n\n[fetch]\ncache-bytes-max = 0\n');
  const gate = await startGate(t, { data: join(site.root, 'data'), home: admin.home });
  await sshOk(admin, gate, ['create', 'busy']);
  await sshOk(admin, gate, ['config', 'busy', 'set', 'public', 'yes']);
  const tree = join(site.root, 'tree');
  await gitOk(admin, ['init', '-q', '-b', 'main', tree]);
  await commitFile(admin, tree, 'small', 'small\n');
  await gitOk(admin, ['push', '-q', url(gate, 'ssh', 'busy'), 'main'], tree);
  return { ...site, gate };
}

/** Negotiates over git:// in protocol v0 and falls silent: resolves when git is there, and the place taken. */
export async function holdUp({ admin, gate }: Site) {
  const socket = dial(gate.git);
  const [main = ''] = (await gitOk(admin, ['ls-remote', url(gate, 'git', 'busy'), 'main'])).split('\t');
  const words = [daemonRequest('upload-pack', '/busy', 0), encodePkt(`want ${main}\n`), '0000'];
  for (const word of [...words, encodePkt(`have ${'1'.repeat(40)}\n`), '0000']) socket.write(word);
  let seen = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    seen += String(chunk);
    if (seen.endsWith('0008NAK\n')) break;
  }
  assert.match(seen, /0008NAK\n$/);
  return socket;
}
