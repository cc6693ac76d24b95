/** A mirror as `mirror list`, `show` and their JSON tell of it. */
import type { Json } from '../base/json.ts';
import { formatDuration } from '../base/units.ts';
import type { RefreshState } from '../upstream/mirror-record.ts';
import type { MirrorView } from '../upstream/mirrors.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { Call } from './command.ts';
import { fields, shortTime } from './table.ts';

/** The mirrors that the caller may read. */
export async function readableViews(call: Call): Promise<readonly MirrorView[]> {
  const views = (await call.parts.mirrors?.list()) ?? [];
  return views.filter(({ repository }) => call.ask({ operation: 'read', repository }).kind === 'allowed');
}

export function freshness({ refreshedAt, failure }: RefreshState): string {
  if (failure !== undefined) return `FAILS: ${failure.split('\n')[0] ?? ''}`;
  return refreshedAt === undefined ? 'never refreshed' : `as of ${shortTime(refreshedAt)}`;
}

export function viewJson({ name, upstream, state }: MirrorView): Json {
  return { name, ...upstreamJson(upstream), credential: upstream.credentialKind ?? null, ...stateJson(state) };
}

function upstreamJson(upstream: Upstream): Readonly<Record<string, Json>> {
  const { url, hostKeys, authorities, freshMs, refs, takesPushes, allowsPartialPushes } = upstream;
  return {
    url: url.text,
    hostKeys,
    ownAuthorities: authorities !== undefined,
    freshMs,
    patterns: refs,
    takesPushes,
    allowsPartialPushes,
  };
}

export function stateJson(state: RefreshState): Readonly<Record<string, Json>> {
  const { refreshedAt, triedAt, failure, tookMs, refs, skippedRefs, changedRefs } = state;
  return {
    refreshedAt: isoOf(refreshedAt),
    triedAt: isoOf(triedAt),
    failure: failure ?? null,
    tookMs: tookMs ?? null,
    refs: refs ?? null,
    skippedRefs: skippedRefs ?? null,
    changedRefs: changedRefs ?? null,
  };
}

export function viewText({ name, upstream, state }: MirrorView): string {
  const { url, credentialKind, hostKeys, freshMs, refs, takesPushes, allowsPartialPushes } = upstream;
  const pushes = takesPushes
    ? `go upstream${allowsPartialPushes ? ', several refs one by one where need be' : ''}`
    : 'refused';
  const skipped = (state.skippedRefs ?? 0) > 0 ? ` (${state.skippedRefs} more cannot be here)` : '';
  return fields([
    ['name', name],
    ['upstream', url.text],
    ['credential', credentialKind ?? 'none'],
    ...hostKeys.map((key) => ['host key', key] as const),
    ['refs', `${refs.join(' ')}${state.refs === undefined ? '' : `: ${state.refs}${skipped}`}`],
    ['fresh', freshMs === 0 ? 'asked at each fetch' : `for ${formatDuration(freshMs)}`],
    ['pushes', pushes],
    ['refreshed', state.refreshedAt === undefined ? 'never' : shortTime(state.refreshedAt)],
    ...(state.tookMs === undefined ? [] : [['took', `${state.tookMs} ms`] as const]),
    ...(state.failure === undefined ? [] : [['failure', state.failure] as const]),
  ]);
}

function isoOf(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
