/**
 * Declaring, changing and removing mirrors. A mirror comes into being with its repository and its sealed credential in
 * one transaction, is filled by its first refresh, and is taken away again where that fails: there is no half of one.
 */
import { BOUNDS } from '../base/bounds.ts';
import { newId, type Clock } from '../base/clock.ts';
import { Fault, ok, publicMessageOf, refuse, type Parsed } from '../base/fault.ts';
import { zeroOid, type Oid } from '../git/oid.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { RepositoryName } from '../repository/name.ts';
import type { Repository } from '../repository/repository.ts';
import type { Store, Write } from '../store/store.ts';
import { writeCredential } from './credential.ts';
import { readMirrorRecord, writeMirrorRecord, type MirrorRecord } from './mirror-record.ts';
import type { Doing, Mirrors, MirrorView } from './mirrors.ts';
import { matchesPatterns, prefixesOf } from './ref-plan.ts';
import type { Upstream, UpstreamCredential } from './upstream.ts';
import type { Vault } from './vault.ts';
import type { Remote, RemoteOptions, RemoteRefs } from './wire/remote.ts';

export interface DeclareParts {
  readonly mirrors: Mirrors;
  readonly store: Store;
  readonly clock: Clock;
  readonly vault: Vault;
  readonly catalogue: Pick<Catalogue, 'create' | 'destroy' | 'purge' | 'byId'>;
  readonly createRemote: (options: RemoteOptions) => Remote;
  readonly exclusively: <T>(repositoryId: string, task: () => Promise<T>) => Promise<T>;
}

/** What somebody says about an upstream; everything is parsed. */
export type Declared = Pick<
  Upstream,
  'url' | 'hostKeys' | 'authorities' | 'freshMs' | 'refs' | 'takesPushes' | 'allowsPartialPushes'
> & { readonly credential: UpstreamCredential | undefined };

export interface NewMirror extends Declared {
  readonly name: RepositoryName;
  readonly owner: string;
  /** Further writes of the transaction in which it comes into being: what was made at a forge for it is linked there. */
  readonly alongside?: (repositoryId: string) => readonly Write[];
}

/** What is to be another; absent: it stays. `null`: none any more. */
export type MirrorChange = {
  readonly [Key in keyof Declared]?: Key extends 'credential' | 'authorities' ? Declared[Key] | null : Declared[Key];
};

export interface MirrorCheck {
  /** Refs that the patterns choose. */
  readonly refs: number;
  readonly head: string | undefined;
  readonly objectFormat: string;
  /** Why a push would not be taken; undefined: nothing speaks against it. Not asked where the mirror takes none. */
  readonly pushProblem: string | undefined;
  /** Milliseconds of the question about refs, connecting included. */
  readonly tookMs: number;
}

export class MirrorDesk {
  readonly #parts: DeclareParts;

  constructor(parts: DeclareParts) {
    this.#parts = parts;
  }

  /** Asks the upstream, makes the repository, fills it. Refused with the upstream's reason where that fails: then nothing is left. */
  async add(fresh: NewMirror, doing: Doing): Promise<Parsed<MirrorView>> {
    const wrong = declaredProblem(fresh);
    if (wrong !== undefined) return refuse(wrong);
    if (this.#parts.mirrors.size >= BOUNDS.mirrorsMax) return refuse(`a gate has at most ${BOUNDS.mirrorsMax} mirrors`);
    doing.tell?.(`asking ${fresh.url.text}`);
    const seen = await this.#firstLook(fresh, doing);
    if (seen.kind === 'refused') return seen;
    const made = await this.#make(fresh, seen.value);
    if (made.kind === 'refused') return made;
    const { repository } = made.value;
    const count = [...seen.value.refs.keys()].filter((name) => matchesPatterns(name, fresh.refs)).length;
    doing.tell?.(`fetching ${count} ${count === 1 ? 'ref' : 'refs'}`);
    try {
      await this.#parts.mirrors.refresh(repository, { ...doing, force: true });
    } catch (error) {
      await this.#undo(repository);
      const isExpected = error instanceof Fault && (error.code === 'upstream' || error.code === 'aborted');
      if (!isExpected) throw error;
      return refuse(`${publicMessageOf(error, doing.requestId)}\nnothing was made`);
    }
    return this.#view(repository);
  }

  /** The next fetch asks the upstream with what is new; nothing is asked here. */
  async change(repository: Repository, change: MirrorChange): Promise<Parsed<MirrorView>> {
    const { mirrors, store, vault, clock } = this.#parts;
    const view = await mirrors.show(repository.id);
    if (view === undefined) return refuse(`${repository.name} is no mirror`);
    const old = view.upstream;
    const { credential, ...rest } = change;
    const next: MirrorRecord = {
      ...old,
      ...withoutAbsent(rest),
      authorities: orOld(rest.authorities, old.authorities),
    };
    const kept = credential === undefined ? old.credentialKind : credential?.kind;
    const wrong = declaredProblem({ ...next, credential: kept === undefined ? undefined : { kind: kept } });
    if (wrong !== undefined) return refuse(wrong);
    const gone: readonly Write[] =
      credential === undefined || old.credentialId === undefined
        ? []
        : [{ kind: 'sealed', key: old.credentialId, delete: true }];
    const commit = async (record: MirrorRecord, writes: readonly Write[]): Promise<Parsed<MirrorView>> => {
      const { repositoryId: key } = record;
      const done = await store.transact({
        checks: [{ kind: 'mirror', key, version: old.version }],
        writes: [{ kind: 'mirror', key, put: writeMirrorRecord(record) }, ...gone, ...writes],
      });
      if (done.kind === 'conflict') return refuse('somebody else changed the mirror: try again');
      mirrors.hold({ ...record, version: done.version });
      return this.#view(repository);
    };
    if (credential === undefined) return commit(next, []);
    if (credential === null) return commit({ ...next, credentialId: undefined, credentialKind: undefined }, []);
    const id = newId(clock);
    const secret = { id, purpose: 'upstream-credential', text: writeCredential(credential) } as const;
    return vault.seal(secret, (write) =>
      commit({ ...next, credentialId: id, credentialKind: credential.kind }, [write]),
    );
  }

  /** From now on an ordinary repository, with what the upstream had last. The credential is gone. */
  async remove(repository: Repository): Promise<void> {
    await this.#parts.exclusively(repository.id, () => this.#parts.mirrors.forget(repository.id));
  }

  /** Asks the upstream, and whether it would take a push; changes nothing here or there. @throws Fault `upstream`, `aborted`. */
  async check(repository: Repository, doing: Doing): Promise<MirrorCheck> {
    const { mirrors, clock } = this.#parts;
    const upstream = await mirrors.find(repository.id);
    if (upstream === undefined) throw new Fault('missing', 'repository is no mirror');
    const remote = await mirrors.remote(repository.id);
    const beganMs = clock.monotonicMs();
    const found = await remote.lsRefs({ ...doing, prefixes: prefixesOf(upstream.refs) });
    const tookMs = Math.round(clock.monotonicMs() - beganMs);
    const refs = [...found.refs.keys()].filter((name) => matchesPatterns(name, upstream.refs)).length;
    const { head, objectFormat } = found;
    const pushProblem = upstream.takesPushes ? await pushProblemOf(remote, found, doing) : undefined;
    return { refs, head, objectFormat, pushProblem, tookMs };
  }

  async #firstLook(fresh: NewMirror, doing: Doing): Promise<Parsed<RemoteRefs>> {
    const upstream: Upstream = { ...fresh, repositoryId: '', credentialId: undefined, version: 0 };
    await using remote = this.#parts.createRemote({ upstream, credential: async () => fresh.credential });
    try {
      return ok(await remote.lsRefs({ ...doing, prefixes: prefixesOf(fresh.refs) }));
    } catch (error) {
      if (!(error instanceof Fault) || error.publicMessage === undefined) throw error;
      return refuse(`${fresh.url.text}: ${error.publicMessage}\nnothing was made`);
    }
  }

  /** Repository, mirror and credential in one transaction. */
  async #make(fresh: NewMirror, seen: RemoteRefs): Promise<Parsed<{ readonly repository: Repository }>> {
    const { catalogue, store, vault, mirrors, clock } = this.#parts;
    const { name, owner, credential } = fresh;
    const credentialId = credential === undefined ? undefined : newId(clock);
    const credentialKind = credential?.kind;
    const record = { ...fresh, repositoryId: '', credentialId, credentialKind, version: 0 };
    const branch = branchOf(seen.head);
    const create = (writes: readonly Write[]): Promise<Parsed<Repository>> =>
      catalogue.create(
        {
          name,
          owner,
          objectFormat: seen.objectFormat,
          ...(branch === undefined ? {} : { settings: { 'default-branch': branch } }),
        },
        (id) => ({
          writes: [
            ...writes,
            { kind: 'mirror', key: id, put: writeMirrorRecord(record) },
            ...(fresh.alongside?.(id) ?? []),
          ],
        }),
      );
    const secret = credential && { purpose: 'upstream-credential' as const, text: writeCredential(credential) };
    const made =
      secret === undefined || credentialId === undefined
        ? await create([])
        : await vault.seal({ ...secret, id: credentialId }, (write) => create([write]));
    if (made.kind === 'refused') return made;
    const stored = await store.get('mirror', made.value.id);
    if (stored === undefined) throw new Fault('internal', 'mirror was not stored');
    mirrors.hold(readMirrorRecord(stored));
    return ok({ repository: made.value });
  }

  /** Out of reach first, then for ever. */
  async #undo(repository: Repository): Promise<void> {
    const { catalogue, mirrors, exclusively } = this.#parts;
    const { id } = repository;
    await exclusively(id, async () => {
      await catalogue.destroy(repository);
      await mirrors.forget(id);
      await catalogue.purge(id);
    });
  }

  async #view(repository: Repository): Promise<Parsed<MirrorView>> {
    const view = await this.#parts.mirrors.show(repository.id);
    return view === undefined ? refuse(`${repository.name} is gone`) : ok(view);
  }
}

/** What is wrong with a declaration as a whole; undefined: nothing. */
export function declaredProblem(
  declared: Pick<Declared, 'url' | 'hostKeys' | 'authorities'> & {
    readonly credential: { readonly kind: UpstreamCredential['kind'] } | undefined;
  },
): string | undefined {
  const { url, hostKeys, authorities, credential } = declared;
  const { scheme } = url;
  if (scheme === 'ssh' && hostKeys.length === 0) return needsHostKey(url);
  if (scheme === 'ssh' && credential === undefined) return 'ssh takes a private key: --key FILE';
  if (scheme !== 'ssh' && hostKeys.length > 0) return 'a host key is for ssh';
  if (scheme !== 'https' && authorities !== undefined) return 'authorities are for https';
  if (scheme === 'ssh' && credential !== undefined && credential.kind !== 'key') return 'ssh takes a private key';
  if (scheme !== 'ssh' && credential?.kind === 'key') return 'a key is for ssh';
  if (scheme === 'git' && credential !== undefined) return 'git:// takes no credential: it knows nobody';
  return undefined;
}

/** There is no trust on first use: whoever answers first could be anybody. */
export function needsHostKey({ host, port }: Pick<Upstream['url'], 'host' | 'port'>): string {
  const scan = port === 22 ? `ssh-keyscan -t ed25519 ${host}` : `ssh-keyscan -t ed25519 -p ${port} ${host}`;
  return [
    `the ssh host key of ${host} has to be given: whoever answers first is not trusted`,
    'take it from where the host publishes it (its documentation over https, its administrator,',
    '/etc/ssh/ssh_host_ed25519_key.pub on the host itself), or print what answers now and compare the fingerprint:',
    `  ${scan} | tee key; ssh-keygen -lf key`,
    "then: --host-key 'ssh-ed25519 AAAA...'",
  ].join('\n');
}

/**
 * Asks for a change whose lease cannot hold: the upstream logs us in and shows its refs for a push, and nothing is sent.
 * What it says before that (a key that may only read) is why a push would fail.
 */
async function pushProblemOf(remote: Remote, found: RemoteRefs, doing: Doing): Promise<string | undefined> {
  const none = zeroOid(found.objectFormat);
  const oldOid = none.replaceAll('0', 'e') as Oid; // as long as an oid, all hex digits
  try {
    const answer = await remote.push({
      ...doing,
      updates: [{ refname: 'refs/heads/gatehouse-check', oldOid, newOid: none }],
      atomic: false,
      options: [],
      pack: () => Promise.reject(new Fault('internal', 'a check sends no pack')),
    });
    if (answer.kind === 'refused') return answer.why === 'lease' ? undefined : answer.reason;
    return 'the upstream answered a question that was not asked';
  } catch (error) {
    if (error instanceof Fault && error.code === 'upstream') return publicMessageOf(error, doing.requestId);
    throw error;
  }
}

function branchOf(head: string | undefined): string | undefined {
  return head?.startsWith('refs/heads/') === true ? head.slice('refs/heads/'.length) : undefined;
}

function orOld<T>(next: T | null | undefined, old: T | undefined): T | undefined {
  return next === undefined ? old : (next ?? undefined);
}

type Replaced = Omit<Declared, 'credential' | 'authorities'>;

function withoutAbsent(change: Omit<MirrorChange, 'credential'>): Partial<Replaced> {
  const { authorities: _, ...rest } = change;
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
}
