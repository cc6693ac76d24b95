/** Work trees of the clients that push, and commits to push; making those is not timed. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { git, gitOk, type Peer, type Served } from './peer.ts';

export interface Fresh {
  /** The client's repository. */
  readonly cwd: string;
  readonly oid: string;
  readonly refname: string;
}

export interface PushTo extends Fresh {
  readonly repository: Served;
}

export class Workbench {
  readonly #folder: string;
  /** Clones that the lanes' are copied from. */
  readonly #clones = new Map<string, Promise<string>>();
  #count = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** A commit without a parent, for a branch of its own: a push that needs no clone. */
  async freshCommit(peer: Peer): Promise<Fresh> {
    const cwd = join(this.#folder, `${slug(peer)}-fresh.git`);
    if (!existsSync(cwd)) await gitOk(peer, ['init', '-q', '--bare', cwd]);
    const number = this.#next();
    const tree = await gitOk(peer, ['mktree'], { cwd, stdin: '' });
    const oid = await gitOk(peer, ['commit-tree', tree, '-m', `Fresh ${number} of ${process.pid}`], { cwd });
    return { cwd, oid, refname: `refs/heads/fresh/${slug(peer)}/${number}` };
  }

  /** The next commit on a branch of `of`: one file changed. `lane`: who does that at the same time. */
  async nextCommit(peer: Peer, lane = 0, of: Served = 'pushed'): Promise<Fresh> {
    const cwd = join(this.#folder, `${slug(peer)}-${of}-${lane}`);
    const isFirst = !existsSync(cwd);
    if (isFirst) await gitOk(peer, ['clone', '-q', '-c', 'gc.auto=0', await this.#cloneOf(peer, of), cwd]);
    const number = this.#next();
    writeFileSync(join(cwd, `lane-${lane}.txt`), `Change ${number} of ${process.pid}\n`);
    if (isFirst) await gitOk(peer, ['add', '-A'], { cwd });
    await gitOk(peer, ['commit', '-q', '-a', '-m', `Change ${number}`], { cwd });
    // Asking git for it costs a process, and there are thousands.
    const oid = readFileSync(join(cwd, '.git/refs/heads/main'), 'utf8').trim();
    return { cwd, oid, refname: `refs/heads/${slug(peer)}/lane-${lane}` };
  }

  async #cloneOf(peer: Peer, of: Served): Promise<string> {
    const path = join(this.#folder, `${slug(peer)}-${of}`);
    const made = this.#clones.get(path) ?? this.#clone(peer, of, path);
    this.#clones.set(path, made);
    return made;
  }

  async #clone(peer: Peer, of: Served, path: string): Promise<string> {
    mkdirSync(this.#folder, { recursive: true });
    await gitOk(peer, ['clone', '-q', peer.url(of), path]);
    return path;
  }

  #next(): number {
    this.#count += 1;
    return this.#count;
  }
}

/** One gate has several doors: what comes through each goes to branches of its own. */
function slug({ name }: Peer): string {
  return name.replaceAll(' ', '-');
}

/** @throws where it is not taken. */
export async function pushFresh(peer: Peer, to: PushTo): Promise<void> {
  await gitOk(peer, ['push', '-q', peer.url(to.repository), `${to.oid}:${to.refname}`], { cwd: to.cwd });
}

/** Whether it was taken: overload is one of the answers that a crowd gets. */
export async function tryPush(peer: Peer, to: PushTo): Promise<boolean> {
  const pushed = await git(peer, ['push', '-q', peer.url(to.repository), `${to.oid}:${to.refname}`], { cwd: to.cwd });
  return pushed.code === 0;
}

/** @throws where the server does not show what was pushed. */
export async function verifyRef(peer: Peer, { repository, oid, refname }: PushTo): Promise<void> {
  const said = await gitOk(peer, ['ls-remote', peer.url(repository), refname]);
  if (!said.startsWith(oid)) throw new Error(`${peer.name}: ${refname} is not ${oid} but ${said}`);
}
