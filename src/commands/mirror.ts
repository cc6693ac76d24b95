/** `mirror ...`: repositories that show what another host has, and take pushes to it. */
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { parseUserName } from '../identity/principal.ts';
import { parseRequestedName } from '../repository/name.ts';
import type { Repository, RepositoryFacts } from '../repository/repository.ts';
import type { MirrorChange, MirrorCheck, NewMirror } from '../upstream/declare.ts';
import { addProvisioned, type ForgeWish } from '../upstream/forges/provision.ts';
import type { Doing, MirrorView, RefreshReport } from '../upstream/mirrors.ts';
import { DEFAULT_REFS } from '../upstream/ref-plan.ts';
import { parseUpstreamUrl } from '../upstream/upstream-url.ts';
import { done, type Answer, type Call, type Command } from './command.ts';
import { shown } from './find.ts';
import {
  checkGrants,
  FORGE_FLAGS,
  MIRROR_SWEEP,
  readForgeToken,
  readForgeWish,
  revokeOf,
  TOKEN_FLAG,
} from './mirror-forge.ts';
import { MIRROR_GITCONFIG } from './mirror-gitconfig.ts';
import { MIRROR_REKEY } from './mirror-rekey.ts';
import { PUSH_FLAGS, readUpstreamOptions, SECRET_FLAGS, UPSTREAM_FLAGS } from './mirror-options.ts';
import { freshness, readableViews, stateJson, viewJson, viewText } from './mirror-view.ts';
import { count, fields, table } from './table.ts';

/** What the commands ask of the mirrors (`upstream/mirrors.ts`). */
export interface MirrorIndex {
  isMirror(repositoryId: string): boolean;
  /** Those whose records are damaged. */
  readonly damaged: ReadonlySet<string>;
  urlOf(repositoryId: string): string | undefined;
  list(): Promise<readonly MirrorView[]>;
  show(repositoryId: string): Promise<MirrorView | undefined>;
  refresh(repository: Repository, doing: Doing & { readonly force?: boolean }): Promise<RefreshReport>;
  /** Its repository was destroyed. */
  rest(repositoryId: string): void;
  forget(repositoryId: string): Promise<void>;
}

/** Where mirrors are declared (`upstream/declare.ts`). */
export interface MirrorDeskParts {
  add(fresh: NewMirror, doing: Doing): Promise<Parsed<MirrorView>>;
  change(repository: Repository, change: MirrorChange): Promise<Parsed<MirrorView>>;
  remove(repository: Repository): Promise<void>;
  check(repository: Repository, doing: Doing): Promise<MirrorCheck>;
}

const INPUT = 'the private key, token or certificate, where its flag says `-`';

export const MIRROR_COMMANDS: readonly Command[] = [
  {
    form: 'mirror add NAME URL',
    summary: 'Make a repository that mirrors one at another host',
    details: [
      'URL is ssh://git@HOST/PATH, git@HOST:PATH, https://HOST/PATH or git://HOST/PATH. Each fetch asks the upstream first and gets what it has then, or the reason why not; pushes go upstream before they count here.',
      'The credential is sealed on this machine and shown to nobody. Over SSH send it as standard input (`--key -`); on the local command line FILE may be a path. ssh needs --host-key as well: nobody is trusted because he answers first. Who adds a mirror decides which hosts this gate connects to.',
    ],
    flags: [
      ...UPSTREAM_FLAGS,
      ...PUSH_FLAGS,
      ...FORGE_FLAGS,
      { name: '--owner', value: 'USER', meaning: 'who owns the repository; default: you' },
    ],
    stdin: INPUT,
    examples: [
      "mirror add api git@git.example:org/api.git --key ~/api-key --host-key 'ssh-ed25519 AAAA...'",
      'mirror add docs https://git.example/org/docs --token - --fresh 30s < token',
      'mirror add public https://git.example/org/public --read-only',
      "mirror add app git@git.example:org/app --forge gitea --deploy-key --write --forge-token - --host-key 'ssh-ed25519 AAAA...' < token",
    ],
    scope: 'admin',
    secrets: [...SECRET_FLAGS, '--forge-token'],
    permission: { kind: 'site', action: 'mirroradd' },
    run: add,
  },
  {
    form: 'mirror list',
    summary: 'List the mirrors that you may read, and how fresh they are',
    examples: ['mirror list', 'mirror list --json'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'open' },
    run: list,
  },
  {
    form: 'mirror show REPO',
    summary: 'Show what a mirror mirrors, and how its last refresh went',
    examples: ['mirror show api'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'repository', operation: 'read' },
    async run(call, repository) {
      const view = await viewOf(call, repository);
      return view.kind === 'refused' ? view : done(viewJson(view.value), viewText(view.value));
    },
  },
  {
    form: 'mirror check REPO',
    summary: 'Connect to the upstream, and say what it shows and whether it would take pushes',
    details: ['Nothing is changed, here or there.'],
    examples: ['mirror check api'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'mirror_check' },
    run: check,
  },
  {
    form: 'mirror refresh REPO',
    summary: 'Ask the upstream now, however fresh the mirror is',
    examples: ['mirror refresh api'],
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'mirror_refresh' },
    run: refresh,
  },
  {
    form: 'mirror set REPO',
    summary: "Change a mirror's credential, host keys or bounds",
    details: [
      'What no flag names stays. --host-key and --refs replace what was there; the next fetch asks the upstream. --host-key, --ca and --no-ca are for those who may add mirrors.',
    ],
    flags: [
      ...UPSTREAM_FLAGS,
      ...PUSH_FLAGS,
      { name: '--read-write', meaning: 'take pushes again' },
      { name: '--refuse-partial', meaning: 'the contrary of --allow-partial' },
      { name: '--no-credential', meaning: 'show the upstream no credential any more' },
      { name: '--no-ca', meaning: "trust the system's authorities again" },
    ],
    stdin: INPUT,
    examples: ['mirror set api --key - < new-key', 'mirror set api --fresh 1m', 'mirror set api --read-only'],
    scope: 'admin',
    secrets: SECRET_FLAGS,
    permission: { kind: 'repository', operation: 'configure', action: 'mirror_set' },
    run: set,
  },
  {
    form: 'mirror remove REPO',
    summary: 'Make a mirror an ordinary repository, and forget its credential',
    details: [
      'Deploy key and webhook that were made for it are revoked. What it had last stays, and pushes end here from now on. `destroy REPO` takes repository and mirror away.',
    ],
    flags: [{ ...TOKEN_FLAG, meaning: 'the token that revokes at the forge; default: the one that made it' }],
    stdin: 'with --forge-token -, the token',
    examples: ['mirror remove api', 'mirror remove api --forge-token - < new-token'],
    scope: 'admin',
    secrets: ['--forge-token'],
    permission: { kind: 'repository', operation: 'configure', action: 'mirror_remove' },
    run: remove,
  },
  MIRROR_SWEEP,
  MIRROR_GITCONFIG,
  MIRROR_REKEY,
];

const NO_MIRRORS = refuse('this gate has no mirrors');

async function add(call: Call): Promise<Answer> {
  const { args, parts, principal } = call;
  if (parts.mirrorDesk === undefined) return NO_MIRRORS;
  if (principal.kind !== 'user')
    return { kind: 'forbidden', decision: { reason: 'anonymous owns nothing: log in first' } };
  const name = parseRequestedName(args.text('NAME'));
  if (name.kind === 'refused') return { kind: 'usage', reason: name.reason };
  const url = parseUpstreamUrl(args.text('URL'));
  if (url.kind === 'refused') return { kind: 'usage', reason: url.reason };
  const owner = parseUserName(args.value('--owner') ?? principal.name);
  if (owner.kind === 'refused') return { kind: 'usage', reason: owner.reason };
  const facts: RepositoryFacts = { id: '', name: name.value, owner: owner.value, settings: {} };
  const creating = call.ask({
    operation: 'create-repository',
    repository: facts,
    variables: { targetuser: owner.value },
  });
  if (creating.kind === 'refused') return { kind: 'forbidden', decision: creating };
  if ((await parts.directory.users.show(owner.value)) === undefined)
    return refuse(`there is no user ${shown(owner.value)}`);
  const options = await readUpstreamOptions(call, url.value);
  if (options.kind === 'refused') return options;
  const wish = await readForgeWish(call, url.value);
  if (wish.kind === 'refused') return wish;
  const fresh: NewMirror = {
    name: name.value,
    owner: owner.value,
    url: url.value,
    hostKeys: [],
    authorities: undefined,
    credential: undefined,
    freshMs: 0,
    refs: DEFAULT_REFS,
    ...options.value,
    takesPushes: !args.has('--read-only') && wish.value?.key?.mayWrite !== false,
    allowsPartialPushes: args.has('--allow-partial'),
  };
  const added = await addWith(call, fresh, wish.value);
  if (added.kind === 'refused') return added;
  const { upstream, state } = added.value;
  const text = `${name.value} mirrors ${upstream.url.text}: ${count(state.refs ?? 0, 'ref')}\nmirror gitconfig ${name.value} prints what clients need\n`;
  return done(viewJson(added.value), text);
}

async function addWith(call: Call, fresh: NewMirror, wish: ForgeWish | undefined): Promise<Parsed<MirrorView>> {
  const { mirrorDesk: desk, forges } = call.parts;
  if (desk === undefined || forges === undefined) return NO_MIRRORS;
  const doing = doingOf(call);
  return wish === undefined ? desk.add(fresh, doing) : addProvisioned({ desk, forges }, { fresh, wish }, doing);
}

async function list(call: Call): Promise<Answer> {
  const views = await readableViews(call);
  const rows = views.map(({ name, upstream, state }) => [name, upstream.url.text, freshness(state)]);
  return done(views.map(viewJson), table(rows));
}

async function check(call: Call, repository: Repository): Promise<Answer> {
  const { mirrorDesk } = call.parts;
  const view = await viewOf(call, repository);
  if (view.kind === 'refused') return view;
  if (mirrorDesk === undefined) return NO_MIRRORS;
  const { url, takesPushes } = view.value.upstream;
  const { refs, head, objectFormat, pushProblem, tookMs } = await mirrorDesk.check(repository, doingOf(call));
  const grants = await checkGrants(call, repository.id);
  const pushes = takesPushes ? (pushProblem ?? 'possible') : 'not taken by this mirror';
  const json = {
    url: url.text,
    refs,
    head: head ?? null,
    objectFormat,
    tookMs,
    takesPushes,
    pushProblem: pushProblem ?? null,
    atForge: grants.rows.map(([what, state]) => ({ what, state })),
  };
  const text = fields([
    ['upstream', url.text],
    ['answers', `in ${tookMs} ms`],
    ['refs', String(refs)],
    ['HEAD', head ?? 'not told'],
    ['object format', objectFormat],
    ['pushes', pushes],
    ...grants.rows,
  ]);
  const isGood = pushProblem === undefined && grants.isGood;
  return { kind: 'done', json, text, exit: isGood ? 0 : 1 };
}

async function refresh(call: Call, repository: Repository): Promise<Answer> {
  const view = await viewOf(call, repository);
  if (view.kind === 'refused') return view;
  const { mirrors } = call.parts;
  if (mirrors === undefined) return NO_MIRRORS;
  const { outcome, state } = await mirrors.refresh(repository, { ...doingOf(call), force: true });
  const changed = outcome === 'updated' ? `${count(state.changedRefs ?? 0, 'ref')} changed` : 'nothing changed';
  return done({ outcome, ...stateJson(state) }, `${repository.name}: ${changed} (${state.tookMs ?? 0} ms)\n`);
}

async function set(call: Call, repository: Repository): Promise<Answer> {
  const { args, parts } = call;
  const view = await viewOf(call, repository);
  if (view.kind === 'refused') return view;
  if (parts.mirrorDesk === undefined) return NO_MIRRORS;
  for (const [one, other] of CONTRARIES)
    if (args.has(one) && args.has(other)) return { kind: 'usage', reason: `${one} and ${other} are contraries` };
  // The credential stays, and it is not the owner's: whom it is shown to is for those to say who may add mirrors.
  if (PINS.some((flag) => args.has(flag))) {
    const decision = call.ask({ operation: 'administer', action: 'mirroradd' });
    if (decision.kind === 'refused') return { kind: 'forbidden', decision };
  }
  const options = await readUpstreamOptions(call, view.value.upstream.url);
  if (options.kind === 'refused') return options;
  const change: MirrorChange = {
    ...options.value,
    ...(args.has('--no-credential') ? { credential: null } : {}),
    ...(args.has('--no-ca') ? { authorities: null } : {}),
    ...(args.has('--read-only') || args.has('--read-write') ? { takesPushes: args.has('--read-write') } : {}),
    ...(args.has('--allow-partial') || args.has('--refuse-partial')
      ? { allowsPartialPushes: args.has('--allow-partial') }
      : {}),
  };
  if (Object.keys(change).length === 0) return { kind: 'usage', reason: 'no flag says what to change' };
  const changed = await parts.mirrorDesk.change(repository, change);
  return changed.kind === 'refused' ? changed : done(viewJson(changed.value), viewText(changed.value));
}

/** What says whom the upstream's place may be taken by. */
const PINS = ['--host-key', '--ca', '--no-ca'] as const;

const CONTRARIES = [
  ['--read-only', '--read-write'],
  ['--allow-partial', '--refuse-partial'],
  ['--no-credential', '--key'],
  ['--no-credential', '--token'],
  ['--no-credential', '--certificate'],
  ['--no-ca', '--ca'],
] as const;

async function remove(call: Call, repository: Repository): Promise<Answer> {
  const upstream = await upstreamName(call, repository);
  if (upstream.kind === 'refused') return upstream;
  const token = await readForgeToken(call);
  if (token.kind === 'refused') return token;
  await call.parts.mirrorDesk?.remove(repository);
  const { text: revoked, exit } = await revokeOf(call, repository.id, token.value);
  const text = `${repository.name} is an ordinary repository now; its credential for ${upstream.value} is gone from here\n`;
  return { kind: 'done', json: { removed: repository.name }, text: `${text}${revoked}`, exit };
}

/** Also of a mirror whose record is damaged: removing it is the way out. */
async function upstreamName(call: Call, repository: Repository): Promise<Parsed<string>> {
  if (call.parts.mirrors?.damaged.has(repository.id) === true) return ok('an upstream that nobody knows any more');
  const view = await viewOf(call, repository);
  return view.kind === 'refused' ? view : ok(view.value.upstream.url.text);
}

async function viewOf(call: Call, repository: Repository): Promise<Parsed<MirrorView>> {
  const view = await call.parts.mirrors?.show(repository.id);
  return view === undefined ? refuse(`${repository.name} is no mirror: mirror list shows them`) : ok(view);
}

/** Progress goes to standard error; a client that is gone is noticed elsewhere. */
function doingOf(call: Call): Doing {
  const tell = (text: string): void => {
    call.warn(`${text.trimEnd()}\n`).catch(() => {});
  };
  return { requestId: call.origin.id, signal: call.signal, tell };
}
