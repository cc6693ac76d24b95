/** A held push in words and as JSON. */
import type { Json } from '../base/json.ts';
import { formatBytes } from '../base/units.ts';
import { isZeroOid } from '../git/oid.ts';
import { principalLabel } from '../identity/principal.ts';
import { holdLabel, type HeldPush, type HeldRef } from '../receive/hold-record.ts';
import type { RefView } from '../receive/hold-view.ts';
import { plainLines } from '../receive/report.ts';
import { count, fields, shortTime } from './table.ts';

const OID_SHOWN = 12;

export function heldJson(held: HeldPush, views: readonly RefView[] = []): Json {
  const { repository, state, refs, options, bytes, createdAt, expiresAt, decision } = held;
  return {
    id: holdLabel(held),
    state,
    repository: repository.name,
    pusher: principalLabel(held.principal),
    credential: held.credential,
    behind: held.behind,
    transport: held.origin.transport,
    address: held.origin.address,
    refs: refs.map((ref) => ({ ...ref, reasons: ref.reasons.map((reason) => ({ ...reason })) })),
    options,
    bytes,
    created: new Date(createdAt).toISOString(),
    expires: new Date(expiresAt).toISOString(),
    ...(decision === undefined ? {} : { decision: { ...decision, at: new Date(decision.at).toISOString() } }),
    ...(views.length === 0 ? {} : { brings: views.map(viewJson) }),
  };
}

function viewJson({ commits, paths, patch, type, ...view }: RefView): Json {
  return {
    ...view,
    type: type ?? null,
    commits: commits.map((commit) => ({ ...commit })),
    paths: paths.map(({ status, path, oldPath }) => ({ status, path, ...(oldPath === undefined ? {} : { oldPath }) })),
    ...(patch === undefined ? {} : { patch }),
  };
}

/** Everything that comes from a client is made plain: a terminal obeys none of it. */
export function heldText(held: HeldPush, views: readonly RefView[], name: string): string {
  const { decision, options, origin } = held;
  const about = fields([
    ['id', holdLabel(held)],
    ['state', held.state],
    ...(decision === undefined
      ? []
      : ([['decided', `${decision.by}, ${shortTime(decision.at)}: ${decision.reason}`]] as const)),
    ['repository', name === held.repository.name ? name : `${name} (${held.repository.name} when it was pushed)`],
    [
      'pusher',
      `${principalLabel(held.principal)} (${held.credential}), over ${origin.transport} from ${origin.address}`,
    ],
    ['pushed', `${shortTime(held.createdAt)}, expires ${shortTime(held.expiresAt)}`],
    ['objects', formatBytes(held.bytes)],
    ...(options.length === 0 ? [] : ([['options', options.join(' ')]] as const)),
  ]);
  const byName = new Map(views.map((view) => [view.refname, view]));
  const refs = held.refs.map((ref) => refText(ref, byName.get(ref.refname)));
  return plainLines([about, ...refs].join('\n'));
}

function refText(ref: HeldRef, view: RefView | undefined): string {
  const lines = [`${ref.refname}  ${ref.kind}  ${short(ref.oldOid)} -> ${short(ref.newOid)}`];
  for (const { reason } of ref.reasons) lines.push(`  held: ${reason}`);
  if (view !== undefined) lines.push(...viewLines(view));
  return `${lines.join('\n')}\n`;
}

function viewLines(view: RefView): readonly string[] {
  const { commits, hasMoreCommits, paths, hasMorePaths, type } = view;
  const more = (has: boolean): string => (has ? ' at least' : '');
  if (type === undefined) return [];
  const lines = [`  ${type}, ${count(commits.length, 'new commit')}${more(hasMoreCommits)}`];
  for (const { oid, author, subject } of commits) lines.push(`    ${oid.slice(0, OID_SHOWN)}  ${author}  ${subject}`);
  if (paths.length > 0) lines.push(`  ${count(paths.length, 'path')} changed${more(hasMorePaths)}`);
  for (const { status, path, oldPath } of paths) {
    lines.push(`    ${status}  ${oldPath === undefined ? '' : `${oneWord(oldPath)} -> `}${oneWord(path)}`);
  }
  if (view.patch !== undefined) lines.push('', view.patch);
  if (view.isPatchCut) lines.push('  (the patch is longer: fetch it from its author to see all of it)');
  return lines;
}

/** A path that has a line end must not look like two. */
function oneWord(path: string): string {
  return path.replaceAll('\n', '?');
}

function short(oid: HeldRef['oldOid']): string {
  return isZeroOid(oid) ? '(none)' : oid.slice(0, OID_SHOWN);
}
