/** The agent of a gate for one job: its account, its passes, the file with their tokens, and its git's configuration. */
import { Fault, type Parsed } from '../base/fault.ts';
import { writeFileDurably } from '../base/durable.ts';
import { gitconfigOf } from '../upstream/gitconfig.ts';
import type { Urls } from './banner.ts';
import type { Declaration } from './gate-declaration.ts';
import type { ReadyUpstream } from './gate-secrets.ts';
import type { Rooms } from './rooms.ts';

export interface AgentAbout {
  readonly gateName: string;
  readonly declaration: Declaration;
  readonly upstreams: readonly ReadyUpstream[];
  readonly lifeMs: number;
  /** One OpenSSH line; undefined: tokens. */
  readonly publicKey: string | undefined;
}

/** The account, with nothing left of an earlier run. */
export async function ensureAgent({ directory }: Rooms, { agent }: Declaration): Promise<void> {
  const { name } = agent;
  if ((await directory.users.show(name)) === undefined)
    must(
      await directory.users.add({ name, email: `${name}@gate.invalid`, realName: `Agent ${name}`, account: 'person' }),
    );
  await endPasses({ directory }, name);
}

/** Nobody gets in with any of them any more. */
export async function endPasses({ directory }: Pick<Rooms, 'directory'>, user: string): Promise<void> {
  for (const pass of await directory.passes.list(user)) must(await directory.passes.revoke(pass.id));
}

/** One pass for each upstream, or one for the key; tokens by the upstream's name. */
export async function issuePasses({ directory }: Rooms, about: AgentAbout): Promise<ReadonlyMap<string, string>> {
  const { declaration, upstreams, lifeMs, publicKey, gateName } = about;
  const tokens = new Map<string, string>();
  const [first] = upstreams;
  const shared = { user: declaration.agent.name, lifeMs, issuedBy: declaration.agent.name };
  if (publicKey !== undefined && first !== undefined) {
    const repositories = upstreams.map(({ name }) => name);
    const scope = { ...first.scope, repositories };
    must(
      await directory.passes.issue({
        ...shared,
        ...counted(first),
        scope,
        purpose: `gate ${gateName}`,
        keyLine: publicKey,
      }),
    );
    return tokens;
  }
  for (const upstream of upstreams) {
    const { name, scope } = upstream;
    const purpose = `gate ${gateName}, ${name}`;
    const issued = must(await directory.passes.issue({ ...shared, ...counted(upstream), scope, purpose }));
    if (issued.secret !== undefined) tokens.set(name, issued.secret);
  }
  return tokens;
}

function counted({ pushesMax }: ReadyUpstream): { readonly pushesMax?: number } {
  return pushesMax === undefined ? {} : { pushesMax };
}

/** Lines of git-credential-store(1), one for each spelling under which git or git-lfs asks for a repository. */
export async function writeCredentials(
  path: string,
  {
    tokens,
    http,
    user,
  }: { readonly tokens: ReadonlyMap<string, string>; readonly http: string; readonly user: string },
): Promise<void> {
  const url = new URL(http);
  const lines = [...tokens].flatMap(([name, token]) =>
    ['', '.git', '/info/lfs', '.git/info/lfs'].map(
      (tail) => `${url.protocol}//${user}:${token}@${url.host}/${name}${tail}\n`,
    ),
  );
  await writeFileDurably(path, lines.join(''), { mode: 0o600 });
}

/** What the agent's git needs to know. @throws Fault `usage` where a door that it needs is closed. */
export function agentGitconfig(about: {
  readonly upstreams: readonly ReadyUpstream[];
  readonly urls: Urls;
  /** Undefined: the agent comes over ssh. */
  readonly credentialsPath: string | undefined;
}): string {
  const { upstreams, urls, credentialsPath } = about;
  const base = credentialsPath === undefined ? urls.ssh : urls.http;
  if (base === undefined) {
    const door = credentialsPath === undefined ? 'ssh' : 'http';
    throw new Fault('usage', 'door of the agent is closed', {
      publicMessage: `the agent comes over ${door}, which is off: leave out --${door} off`,
    });
  }
  const entries = upstreams.map(({ name, url }) => ({ gateUrl: `${base}/${name}`, upstream: url }));
  if (credentialsPath === undefined) return gitconfigOf(entries);
  // The empty helper forgets those that other files name: no other program is told of these tokens.
  const helper = `store --file=${shellWord(credentialsPath)}`.replace(/[\\"]/g, '\\$&');
  const credential = `[credential "${base}"]\n\thelper =\n\thelper = "${helper}"\n\tuseHttpPath = true\n`;
  return `${gitconfigOf(entries)}${credential}`;
}

/** git hands a helper's words to a shell. */
function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@=+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** @throws Fault `usage` with the refusal's reason. */
export function must<T>(parsed: Parsed<T>): T {
  if (parsed.kind === 'ok') return parsed.value;
  throw new Fault('usage', 'gate for a job cannot be set up', { publicMessage: parsed.reason });
}
