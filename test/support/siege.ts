/** A site under attack: what it must look like afterwards, and what its journal says meanwhile. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as later } from 'node:timers/promises';
import type { Client } from 'ssh2';
import { channel, login, say } from './attacker.ts';
import { addPerson, gitOk, startSite, url, type Person, type Site } from './gate.ts';
import { processTree, watchPeak } from './memory.ts';
import { run, type Scope } from './workspace.ts';

const MIB = 1024 * 1024;
/** What the gate's own processes may hold at the worst of it. */
const GATE_BYTES_MAX = 400 * MIB;
/** For what the system does behind the journal line: reaping a process, closing a descriptor. */
const SETTLE_MS = 10_000;

export interface Line {
  readonly seq: number;
  readonly event: string;
  readonly outcome: string;
  readonly transport: string;
  readonly principal: string;
  readonly request: string;
  readonly repository?: string;
  readonly reason?: string;
  readonly rule?: string;
  readonly argv?: readonly string[];
  readonly refs?: readonly { readonly name: string; readonly result: string }[];
}

/** The journal as `audit log --follow --json` tells it: each line can be waited for, and is given once. */
export class JournalTail {
  readonly #lines: Line[] = [];
  readonly #wakers = new Set<() => void>();

  static async open(client: Client): Promise<JournalTail> {
    const tail = new JournalTail();
    const stream = await channel(client, 'audit log --json --follow');
    const reader = createInterface(stream);
    reader.on('line', (text) => {
      tail.#lines.push(JSON.parse(text) as Line);
      for (const wake of tail.#wakers) wake();
    });
    return tail;
  }

  /** The first line not yet given that fits. */
  async next(fits: Partial<Omit<Line, 'reason'>> & { readonly reason?: RegExp }): Promise<Line> {
    const deadline = AbortSignal.timeout(20_000);
    for (;;) {
      const index = this.#lines.findIndex((line) => isLike(line, fits));
      const [found] = index === -1 ? [] : this.#lines.splice(index, 1);
      if (found !== undefined) return found;
      if (deadline.aborted) {
        const last = this.#lines.slice(-8).map((line) => JSON.stringify(line));
        assert.fail(`no journal line like ${JSON.stringify(fits)} ${fits.reason}; the last are\n${last.join('\n')}`);
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#wakers.delete(wake);
          deadline.removeEventListener('abort', wake);
          resolve();
        };
        this.#wakers.add(wake);
        deadline.addEventListener('abort', wake);
      });
    }
  }
}

function isLike(line: Line, fits: Partial<Omit<Line, 'reason'>> & { readonly reason?: RegExp }): boolean {
  const { reason, ...rest } = fits;
  const same = Object.entries(rest).every(([key, value]) => Reflect.get(line, key) === value);
  return same && (reason === undefined || reason.test(line.reason ?? ''));
}

/** A site with a repository `target`, public, with one commit on main, and somebody who owns it. */
export class Siege {
  readonly site: Site;
  readonly owner: Person;
  readonly ownerSsh: Client;
  readonly ownerToken: string;
  readonly adminSsh: Client;
  readonly journal: JournalTail;
  /** The work tree of `target`, and its commit. */
  readonly tree: string;
  readonly head: string;
  readonly #target: string;
  readonly #refs: string;
  readonly #processes: number;
  readonly #peak: { readonly stop: () => number };

  constructor(parts: SiegeParts) {
    this.site = parts.site;
    this.owner = parts.owner;
    this.ownerSsh = parts.ownerSsh;
    this.ownerToken = parts.ownerToken;
    this.adminSsh = parts.adminSsh;
    this.journal = parts.journal;
    this.tree = parts.tree;
    this.head = parts.head;
    this.#target = parts.target;
    this.#refs = parts.refs;
    this.#processes = processTree(parts.site.gate.pid).length;
    this.#peak = watchPeak(parts.site.gate.pid);
  }

  /** The refs are those of the start, nothing of a request is left over, and the gate answers. */
  async unharmed(): Promise<void> {
    await this.#settled();
    assert.equal(await gitOk(this.owner, ['for-each-ref'], this.#target), this.#refs);
    const { text } = await say(this.ownerSsh, 'git-upload-pack target', ['0000']);
    assert.match(text, new RegExp(`${this.head} refs/heads/main`));
  }

  /** The same; and honest clients clone and push, git finds the repository sound, memory was bounded, the journal is whole. */
  async standing(): Promise<void> {
    const { site, owner } = this;
    await this.unharmed();
    await gitOk(owner, ['fsck', '--strict'], this.#target);
    const to = join(owner.home, 'honest');
    await gitOk(owner, ['clone', '-q', url(site.gate, 'git', 'target'), to]);
    await gitOk(owner, ['push', '-q', url(site.gate, 'ssh', 'target'), 'main:refs/heads/honest'], to);
    await gitOk(owner, ['push', '-q', url(site.gate, 'http', 'target', this.ownerToken), ':refs/heads/honest'], to);
    const held = this.#peak.stop();
    assert.ok(held < GATE_BYTES_MAX, `the gate held ${Math.round(held / MIB)} MiB`);
    assert.match(await done(this.adminSsh, 'audit verify'), /the journal is whole/);
    assert.match(await done(this.adminSsh, 'fsck target'), /target is sound/);
  }

  stop(): void {
    this.#peak.stop();
    this.adminSsh.end();
    this.ownerSsh.end();
  }

  /** Until no more processes run than before the first attack. */
  async #settled(): Promise<void> {
    const { pid } = this.site.gate;
    const deadline = AbortSignal.timeout(SETTLE_MS);
    while (processTree(pid).length > this.#processes || this.#leftovers().length > 0) {
      const listing = processTree(pid).map((line) => `${line.pid} ${line.command}`);
      assert.ok(!deadline.aborted, `left over:\n${[...listing, ...this.#leftovers()].join('\n')}`);
      await nextTick();
    }
  }

  /** Quarantines, temporary packs and locks of every repository. */
  #leftovers(): readonly string[] {
    return bareRepositories(this.site).flatMap((path) =>
      ['gatehouse/incoming', 'objects/pack', 'refs/heads', '.'].flatMap((folder) =>
        namesIn(join(path, folder))
          .filter((name) => folder === 'gatehouse/incoming' || /^tmp_|^incoming|\.lock$/.test(name))
          .map((name) => join(path, folder, name)),
      ),
    );
  }
}

type SiegeParts = Pick<
  Siege,
  'site' | 'owner' | 'ownerSsh' | 'ownerToken' | 'adminSsh' | 'journal' | 'tree' | 'head'
> & { readonly target: string; readonly refs: string };

/** Opens the site and makes what is attacked; everything ends with the scope. */
export async function besiege(scope: Scope, options: { readonly args?: readonly string[] } = {}): Promise<Siege> {
  const site = await startSite(scope, options);
  const owner = await addPerson(site, 'olga');
  const [adminSsh, ownerSsh] = await Promise.all([login(site.gate, site.admin), login(site.gate, owner)]);
  const ownerToken = await makeToken(ownerSsh, 'wild', 'admin');
  await done(ownerSsh, 'create target');
  await done(ownerSsh, 'config target set public yes');
  const tree = join(owner.home, 'tree');
  await gitOk(owner, ['init', '-q', '-b', 'main', tree]);
  await gitOk(owner, ['commit', '-q', '--allow-empty', '-m', 'First'], tree);
  await gitOk(owner, ['push', '-q', url(site.gate, 'ssh', 'target'), 'main'], tree);
  const head = await gitOk(owner, ['rev-parse', 'HEAD'], tree);
  const target = await bareOf(site, 'target');
  const refs = await gitOk(owner, ['for-each-ref'], target);
  const journal = await JournalTail.open(adminSsh);
  const siege = new Siege({ site, owner, ownerSsh, ownerToken, adminSsh, journal, tree, head, target, refs });
  scope.after(() => {
    siege.stop();
  });
  return siege;
}

/** A command that has to succeed, and what it printed. */
export async function done(client: Client, line: string, stdin = ''): Promise<string> {
  const { text, stderr, code } = await say(client, line, stdin === '' ? [] : [stdin]);
  assert.equal(code, 0, `${line}: ${stderr}`);
  return text;
}

export async function makeToken(client: Client, name: string, scope: string): Promise<string> {
  const printed = await done(client, `token create ${name} --scope ${scope}`);
  return printed.trim().split('\n').at(-1) ?? '';
}

/** The directory of a repository. */
export async function bareOf(site: Site, name: string): Promise<string> {
  for (const path of bareRepositories(site)) {
    const found = await run('git', ['config', '--file', join(path, 'config'), 'gatehouse.name']);
    if (found.stdout.trim() === name) return path;
  }
  return assert.fail(`there is no repository ${name} on disk`);
}

/** Empty where there is no such directory (yet, or any more). */
function namesIn(path: string): readonly string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

function bareRepositories(site: Site): readonly string[] {
  const root = join(site.gate.data, 'repositories');
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name.endsWith('.git'))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** A moment for what the system does behind the last word: reaping a process, removing a directory. */
function nextTick(): Promise<void> {
  return later(20);
}
