/** What a gate for one job is about to do, for a person to read before anything is done. No secret is in it. */
import { formatDuration } from '../base/units.ts';
import type { Declaration, DeclaredUpstream, SecretSource } from './gate-declaration.ts';
import type { ReadyUpstream } from './gate-secrets.ts';

export interface PreflightAbout {
  readonly gateName: string;
  readonly declarationPath: string;
  readonly declaration: Declaration;
  readonly upstreams: readonly ReadyUpstream[];
  readonly lifeMs: number;
  readonly dataDirectory: string;
  readonly keepsData: boolean;
  readonly credentialsPath: string;
}

export function preflightText(about: PreflightAbout): string {
  const { gateName, declarationPath, declaration, upstreams, lifeMs, dataDirectory, keepsData } = about;
  const { agent } = declaration;
  const by =
    agent.publicKeyFile === undefined ? `tokens, in ${about.credentialsPath}` : `the key ${agent.publicKeyFile}`;
  const lines = [
    `gate ${gateName}, as ${declarationPath} declares it`,
    ...upstreams.flatMap(upstreamLines),
    `agent ${agent.name}`,
    `  gets in with   ${by}; for ${formatDuration(lifeMs)}`,
    `  secret scan    ${agent.scan ? 'as the rules say' : 'OFF'}`,
    `data in ${dataDirectory}, ${keepsData ? 'kept' : 'removed at the end'}`,
  ];
  return `${lines.join('\n')}\n`;
}

function upstreamLines(upstream: ReadyUpstream): readonly string[] {
  const { name, url, refs, hostKeys, deployKey, webhook, place, freshMs, forge } = upstream;
  const at = place === undefined ? '' : `${place.project} at ${new URL(place.apiUrl).host} (${place.kind})`;
  const may = upstream.scope.push.length > 0 ? 'read and write' : 'read only';
  const token = forge === undefined ? '' : `; its token comes from ${sourceText(forge.token)}`;
  return [
    `upstream ${name}`,
    `  address        ${url.text}: host ${url.host}, port ${url.port}`,
    ...(hostKeys.length > 0 ? [`  host keys      ${hostKeys.length} pinned`] : []),
    `  credential     ${deployKey ? 'the deploy key below' : credentialText(upstream)}`,
    ...(deployKey ? [`  will be made   a deploy key (${may}) of ${at}, revoked at the end${token}`] : []),
    ...(webhook ? [`  will be made   a webhook of ${at}, revoked at the end${deployKey ? '' : token}`] : []),
    `  agent reads    ${refs.join(' ')}${freshMs === 0 ? '' : `, up to ${formatDuration(freshMs)} old`}`,
    `  agent pushes   ${pushText(upstream)}`,
  ];
}

function credentialText({ credential }: DeclaredUpstream): string {
  return credential === undefined ? 'none' : `a ${credential.credential} from ${sourceText(credential)}`;
}

function sourceText(source: SecretSource): string {
  return source.kind === 'file' ? `the file ${source.path}` : `the variable ${source.name}`;
}

function pushText({ scope, pushesMax }: DeclaredUpstream): string {
  if (scope.push.length === 0) return 'nothing';
  const { createOnly, rewind, delete: mayDelete } = scope;
  const how = createOnly
    ? 'create'
    : ['create', 'fast-forward', ...(rewind ? ['rewind'] : []), ...(mayDelete ? ['delete'] : [])].join(', ');
  const most = pushesMax === undefined ? '' : `, ${pushesMax} times`;
  return `${scope.push.join(' ')} (${how}${most})`;
}
