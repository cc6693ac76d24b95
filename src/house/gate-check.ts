/** `gatehouse gate --check`: whether the upstreams answer and the forges' tokens are taken. Nothing is made anywhere. */
import { newId, systemClock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import { createForge } from '../upstream/forges/create-forge.ts';
import { matchesPatterns, prefixesOf } from '../upstream/ref-plan.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { createRemote } from '../upstream/wire/create-remote.ts';
import type { ReadyUpstream } from './gate-secrets.ts';

/** How many problems there are; each, and what is well, is told in a line. */
export async function checkUpstreams(
  upstreams: readonly ReadyUpstream[],
  tell: (line: string) => void,
): Promise<number> {
  let problems = 0;
  for (const upstream of upstreams) {
    const checks = [
      ...(upstream.deployKey ? [] : [() => checkUpstream(upstream)]),
      ...(upstream.place === undefined ? [] : [() => checkForge(upstream)]),
    ];
    for (const check of checks) {
      const { line, isWell } = await told(check);
      tell(`${upstream.name}: ${line}`);
      if (!isWell) problems += 1;
    }
  }
  return problems;
}

async function told(check: () => Promise<string>): Promise<{ readonly line: string; readonly isWell: boolean }> {
  try {
    return { line: await check(), isWell: true };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { line: `PROBLEM: ${publicMessageOf(error, 'local')}`, isWell: false };
  }
}

async function checkUpstream(ready: ReadyUpstream): Promise<string> {
  const { url, hostKeys, authorities, freshMs, refs, scope, allowsPartialPushes, secret } = ready;
  const takesPushes = scope.push.length > 0;
  const plain = { url, hostKeys, authorities, freshMs, refs, takesPushes, allowsPartialPushes };
  const upstream: Upstream = { ...plain, repositoryId: '', credentialId: undefined, version: 0 };
  await using remote = createRemote({ upstream, credential: async () => secret });
  const { signal } = new AbortController();
  const found = await remote.lsRefs({ requestId: newId(systemClock), signal, prefixes: prefixesOf(refs) });
  const count = [...found.refs.keys()].filter((name) => matchesPatterns(name, refs)).length;
  return `${url.host} answers, and shows ${count} of the refs`;
}

async function checkForge({ place, forgeToken: token }: ReadyUpstream): Promise<string> {
  if (place === undefined || token === undefined) throw new Fault('internal', 'upstream has no forge');
  const forge = createForge({ place, token, clock: systemClock });
  const keys = await forge.listKeys({ signal: new AbortController().signal });
  const marked = keys.filter(({ title }) => title.startsWith('gatehouse ')).length;
  const more = marked === 0 ? '' : `, ${marked} of them of a gate`;
  return `${new URL(place.apiUrl).host} takes the token; ${place.project} has ${keys.length} deploy keys${more}`;
}
