/** A real gate in front of a real upstream, and somebody who knows only the gate. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { git, gitOk, sshOk, startGate, startSite, url, type Gate, type Person, type Site } from '../support/gate.ts';
import type { UpstreamRepositories } from '../support/upstream.ts';
import { run, type Ended, type Scope } from '../support/workspace.ts';

export interface MirrorSite extends Site {
  /** SIGKILL, or SIGTERM, and another gate on the same data. */
  restart(how?: 'kill' | 'stop'): Promise<Gate>;
}

export async function startMirrorSite(scope: Scope): Promise<MirrorSite> {
  const site = await startSite(scope);
  let { gate } = site;
  return {
    root: site.root,
    admin: site.admin,
    get gate() {
      return gate;
    },
    async restart(how = 'kill') {
      await (how === 'kill' ? gate.kill() : gate.stop());
      gate = await startGate(scope, { data: gate.data, home: site.admin.home });
      return gate;
    },
  };
}

/** The parts of `startSshUpstream` and `startHttpsUpstream` that a mirror is declared with. */
export interface SshAccess {
  readonly repositories: UpstreamRepositories;
  readonly hostKey: string;
  readonly privateKey: string;
  url(name: string): string;
}

/** `mirror add NAME` over ssh, with the upstream's key. */
export async function addMirror(
  { admin, gate }: Site,
  upstream: SshAccess,
  { name, flags = [] }: { readonly name: string; readonly flags?: readonly string[] },
): Promise<void> {
  const words = ['mirror', 'add', name, upstream.url(name), '--key', '-', '--host-key', upstream.hostKey, ...flags];
  await sshOk(admin, gate, words, upstream.privateKey);
}

/** An upstream with one commit on main, and its mirror; the commit. */
export async function makeMirror(
  site: Site,
  upstream: SshAccess,
  about: { readonly name: string; readonly flags?: readonly string[] },
): Promise<string> {
  const { repositories } = upstream;
  await repositories.create(about.name);
  const base = await repositories.commit(about.name, 'refs/heads/main', { base: 'base\n' });
  await addMirror(site, upstream, about);
  return base;
}

/** Branches and tags of mirror and upstream, asked by a client of each. */
export async function assertSameRefs({ admin, gate }: Site, upstream: SshAccess, name: string): Promise<void> {
  const here = await refsAt(url(gate, 'ssh', name), admin.env);
  assert.equal(here, await refsAt(upstream.repositories.path(name), admin.env));
}

/** A hook of the upstream's own. */
export function putHook(repositories: UpstreamRepositories, name: string, hook: string, script: string): void {
  const path = join(repositories.path(name), 'hooks', hook);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

/** A clone of the mirror, and what is done with it. */
export interface Clone {
  readonly tree: string;
  readonly person: Person;
  git(...words: readonly string[]): Promise<Ended>;
  ok(...words: readonly string[]): Promise<string>;
  /** A commit with one file; its oid. */
  commit(file: string): Promise<string>;
}

let clones = 0;

/** By the administrator, unless somebody else is named. */
export async function cloneOf(site: Site, name: string, by?: Person): Promise<Clone> {
  const { gate, root } = site;
  const person = by ?? site.admin;
  clones += 1;
  const tree = join(root, `clone-${clones}`);
  await gitOk(person, ['clone', '-q', url(gate, 'ssh', name), tree]);
  return {
    tree,
    person,
    git: (...words) => git(person, words, tree),
    ok: (...words) => gitOk(person, words, tree),
    async commit(file) {
      writeFileSync(join(tree, file), `${file}\n`);
      await gitOk(person, ['add', '--', file], tree);
      await gitOk(person, ['commit', '-q', '-m', `Add ${file}`], tree);
      return gitOk(person, ['rev-parse', 'HEAD'], tree);
    },
  };
}

/** `REF OID` lines of branches and tags, by any transport that git knows. */
export async function refsAt(path: string, env: NodeJS.ProcessEnv): Promise<string> {
  const { stdout } = await run('git', ['ls-remote', '--heads', '--tags', '--refs', path], { env });
  return stdout;
}
