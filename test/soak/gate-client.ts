/** Somebody who pushes and fetches through the gate, remembers what was asked and what was answered, and loses nothing of it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Chance } from '../compare/random.ts';
import { cleanEnvironment, expectRun, run } from '../support/workspace.ts';
import type { SoakUpstream } from './gate-upstream.ts';

const NONE = '0'.repeat(40);

/** `unknown`: the client was told that nobody knows, or nothing at all. `stale`: it did not even ask. */
export type Answer = 'done' | 'refused' | 'unknown' | 'stale';

export interface Asked {
  readonly client: string;
  readonly refname: string;
  readonly old: string;
  readonly now: string;
  readonly answer: Answer;
  /** git's words. */
  readonly reason: string;
}

export interface ClientOptions {
  readonly name: string;
  readonly root: string;
  readonly upstream: SoakUpstream;
  /** Of the gate that runs now. */
  readonly url: () => string;
  readonly chance: Chance;
}

const SHARED = 6;
const OWN = 4;
/** A fifth of a second is what a push takes: nobody waits longer for a gate that was killed. */
const PUSH_MS = 60_000;

export class SoakClient {
  readonly #options: ClientOptions;
  readonly #tree: string;
  readonly env: NodeJS.ProcessEnv;
  readonly asked: Asked[] = [];
  /** Values that fetches showed. */
  readonly seen = new Set<string>();
  /** How much of `asked` a tally has. */
  counted = 0;
  #made = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#tree = join(options.root, options.name);
    this.env = cleanEnvironment(options.root);
  }

  async begin(): Promise<void> {
    mkdirSync(this.#tree, { recursive: true });
    await this.#git('init', '-q', '-b', 'main', '.');
  }

  /** What the gate shows; undefined where it shows nothing. */
  async look(): Promise<ReadonlyMap<string, string> | undefined> {
    const words = ['ls-remote', '--heads', '--tags', '--refs', this.#options.url()];
    const { code, stdout } = await run('git', words, { env: this.env, deadlineMs: PUSH_MS });
    if (code !== 0) return undefined;
    const lines = stdout.split('\n').filter(Boolean);
    for (const line of lines) this.seen.add(`${line.slice(41)} ${line.slice(0, 40)}`);
    return new Map(lines.map((line): [string, string] => [line.slice(41), line.slice(0, 40)]));
  }

  /** One push of one to three refs, made on what the gate showed. `diverge`: somebody changes one of them meanwhile. */
  async push(diverge: boolean): Promise<void> {
    const { chance, name, upstream } = this.#options;
    const before = await this.look();
    if (before === undefined) return;
    const names = new Set(chance.some(this.#names(), 3));
    const updates: { refname: string; old: string; now: string }[] = [];
    for (const refname of names) {
      const old = before.get(refname) ?? NONE;
      updates.push({ refname, old, now: old !== NONE && chance.is(20) ? NONE : await this.#commit() });
    }
    const leases = updates.map(({ refname, old }) => `--force-with-lease=${refname}:${old === NONE ? '' : old}`);
    const refspecs = updates.map(({ refname, now }) => (now === NONE ? `:${refname}` : `${now}:${refname}`));
    const words = ['-c', `core.hooksPath=${upstream.clientHooks}`, 'push', '--porcelain', ...leases];
    const target = updates[0]?.refname ?? '';
    const env = { ...this.env, ...(diverge ? { SOAK_DIVERGE: target } : {}) };
    const options = { cwd: this.#tree, env, deadlineMs: PUSH_MS };
    const { stdout, stderr } = await run('git', [...words, this.#options.url(), ...refspecs], options);
    for (const update of updates)
      this.asked.push({ client: name, ...update, ...answerFor(update.refname, stdout, stderr) });
  }

  #names(): [string, ...string[]] {
    const own = Array.from({ length: OWN }, (_, index) => `refs/heads/${this.#options.name}/b${index}`);
    const shared = Array.from({ length: SHARED }, (_, index) => `refs/heads/shared/s${index}`);
    return [`refs/tags/${this.#options.name}/t1`, ...own, ...shared];
  }

  /** One that nobody else makes. */
  async #commit(): Promise<string> {
    this.#made += 1;
    const tree = await expectRun('git', ['mktree'], { cwd: this.#tree, env: this.env, stdin: '' });
    return this.#git('commit-tree', '-m', `${this.#options.name} ${this.#made}`, tree);
  }

  #git(...words: readonly string[]): Promise<string> {
    return expectRun('git', words, { cwd: this.#tree, env: this.env });
  }
}

/** git-push(1), "OUTPUT": `FLAG TAB FROM:TO TAB SUMMARY (REASON)`. */
function answerFor(
  refname: string,
  stdout: string,
  stderr: string,
): { readonly answer: Answer; readonly reason: string } {
  const line = stdout.split('\n').find((text) => text.split('\t')[1]?.endsWith(`:${refname}`) === true);
  if (line === undefined) return { answer: 'unknown', reason: stderr.trim().split('\n').at(-1) ?? '' };
  const [flag = '', , reason = ''] = line.split('\t');
  if (flag !== '!') return { answer: 'done', reason };
  if (reason.startsWith('[rejected]')) return { answer: 'stale', reason };
  const isOpen =
    /did not say|only a part|but the gate|\[remote failure\]|no report/.test(reason) ||
    /could not finish it/.test(stderr);
  return { answer: isOpen ? 'unknown' : 'refused', reason };
}
