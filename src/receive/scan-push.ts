/**
 * The objects of one push through the scanner: what was found that was not there before, and what could not be looked at.
 */
import type { Clock } from '../base/clock.ts';
import { factsOf } from '../git/objects.ts';
import { isZeroOid, type Oid } from '../git/oid.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { Finding } from '../scan/finding.ts';
import type { ScanItem, ScanNote, Scanner, ScanReport } from '../scan/scanner.ts';
import { newObjects, objectsNamed, oidsBrought, type NewObjectsOptions } from './new-objects.ts';
import type { Push, RefUpdate } from './step.ts';

export interface ScanPushParts {
  readonly processes: GitProcesses;
  readonly scanner: Pick<Scanner, 'scan'>;
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly objectsMax: number;
  /** Sees each item of a push on its way to the scanner, and undefined behind the last. */
  readonly observe?: (push: Push, item: ScanItem | undefined) => void;
}

/** A finding with the refs that bring it, and a path that may be shown. */
export interface Placed {
  readonly finding: Finding;
  /** Empty where it is not known which: then all of them. */
  readonly refnames: ReadonlySet<string>;
  readonly path: string;
  /** The first commit that brings it; empty where none does, or it is not known. */
  readonly commit: string;
}

export interface ScannedPush {
  readonly found: readonly Placed[];
  /** Findings that lay at the same path before. */
  readonly known: number;
  readonly dropped: number;
  readonly unscanned: readonly ScanNote[];
  readonly notes: readonly ScanNote[];
  readonly items: number;
  readonly bytes: number;
}

const TELL_MS = 3_000;
/** Paths that are compared with how they were, refs that each finding is asked of, refs whose old values are looked at. */
const COMPARED_MAX = 200;
const ASKED_REFS_MAX = 16;
const OLD_TIPS_MAX = 8;
const COMPARED_BYTES_MAX = 16 * 1024 * 1024;
export const WITHHELD = '(a path that holds a secret itself)';

/** @throws Fault as `newObjects`, and what the scanner throws. */
export async function scanPush(parts: ScanPushParts, push: Push, signal: AbortSignal): Promise<ScannedPush> {
  const bringing = push.updates.filter(({ newOid }) => !isZeroOid(newOid));
  const where = objectsOf(parts, push, signal);
  const tips = [...new Set(bringing.map(({ newOid }) => newOid))];
  const seen = observed(itemsOf({ ...where, tips, known: 'refs' }, push, bringing), parts, push);
  const items = told(seen, parts.clock, push);
  const report = await parts.scanner.scan(items, { signal });
  const { findings: all, unscanned, notes, items: count, bytes, findingsDropped: dropped } = report;
  const fresh = await withoutKnown(all, { parts, push, bringing, where, signal });
  const brought = await bringers(bringing, fresh, where);
  const hidden = await hiddenPaths(fresh, parts.scanner, signal);
  return {
    found: fresh.map((finding) => ({
      finding,
      refnames: refnamesOf(finding, bringing, brought),
      path: hidden.has(finding.path) ? WITHHELD : finding.path,
      commit: brought.commits.get(finding.oid) ?? '',
    })),
    known: all.length - fresh.length,
    dropped,
    unscanned,
    notes,
    items: count,
    bytes,
  };
}

function objectsOf(parts: ScanPushParts, push: Push, signal: AbortSignal): Omit<NewObjectsOptions, 'tips' | 'known'> {
  const { processes, deadlineMs, objectsMax } = parts;
  const { repository, objectDirectory, brought, requestId } = push;
  return { processes, repository, objectDirectory, brought, deadlineMs, signal, requestId, objectsMax };
}

/** What comes beside the objects is small and goes first. */
async function* itemsOf(
  options: NewObjectsOptions,
  push: Push,
  bringing: readonly RefUpdate[],
): AsyncGenerator<ScanItem> {
  for (const [index, { refname }] of bringing.entries()) {
    yield { kind: 'refname', path: refname, oid: String(index), content: Buffer.from(refname) };
  }
  for (const option of push.options) yield { kind: 'text', path: 'push option', oid: '', content: Buffer.from(option) };
  yield* newObjects(options);
}

async function* observed(
  items: AsyncIterable<ScanItem>,
  { observe }: ScanPushParts,
  push: Push,
): AsyncGenerator<ScanItem> {
  for await (const item of items) {
    observe?.(push, item);
    yield item;
  }
  observe?.(push, undefined);
}

/** Says every few seconds how far it is. The number of objects is that of the pack: close, but not the same. */
async function* told(items: AsyncIterable<ScanItem>, clock: Clock, push: Push): AsyncGenerator<ScanItem> {
  let last = clock.monotonicMs();
  let count = 0;
  for await (const item of items) {
    yield item;
    count += 1;
    const now = clock.monotonicMs();
    if (now - last < TELL_MS) continue;
    last = now;
    const all = Math.max(push.contents.objects, count);
    push.tell(`gatehouse: scanned ${count.toLocaleString('en')} of ${all.toLocaleString('en')} objects\n`);
  }
}

interface Comparison {
  readonly parts: ScanPushParts;
  readonly push: Push;
  readonly bringing: readonly RefUpdate[];
  readonly where: Omit<NewObjectsOptions, 'tips' | 'known'>;
  readonly signal: AbortSignal;
}

/**
 * A file that is changed brings all of its text anew. What the file held before, where a ref that is pushed to or HEAD
 * stood, is no news, and this push does not take it anywhere.
 */
async function withoutKnown(findings: readonly Finding[], comparison: Comparison): Promise<readonly Finding[]> {
  const { parts, push, bringing, where, signal } = comparison;
  const compared = findings.filter(({ kind, path }) => (kind === 'blob' || kind === 'tree') && !/[\n\0]/.test(path));
  const paths = [...new Set(compared.map(({ path }) => path))].slice(0, COMPARED_MAX);
  if (paths.length === 0) return findings;
  const olds = bringing.filter(({ oldOid }) => !isZeroOid(oldOid)).map(({ oldOid }) => oldOid);
  const tips = [...new Set(olds)].slice(0, OLD_TIPS_MAX);
  const names = paths.flatMap((path) => [...tips, 'HEAD'].map((tip) => ({ path, name: `${tip}:${path}` })));
  const place = { processes: parts.processes, gitDir: push.repository.path, signal, requestId: push.requestId };
  const facts = await factsOf(
    place,
    names.map(({ name }) => name),
  );
  const objects = new Map<string, { readonly oid: Oid; readonly path: string }>();
  for (const [index, fact] of facts.entries()) {
    const path = names[index]?.path ?? '';
    const isReadable = fact !== undefined && (fact.type === 'blob' || fact.type === 'tree');
    if (isReadable && fact.sizeBytes <= COMPARED_BYTES_MAX) objects.set(`${fact.oid} ${path}`, { oid: fact.oid, path });
  }
  if (objects.size === 0) return findings;
  const old = objectsNamed({ ...where, objectDirectory: undefined }, [...objects.values()]);
  const before = await parts.scanner.scan(old, { signal });
  const known = new Set(before.findings.map(keyOf));
  return findings.filter((finding) => !known.has(keyOf(finding)));
}

function keyOf({ kind, path, inner, fingerprint }: Finding): string {
  return JSON.stringify([kind, path, inner, fingerprint]);
}

/** Empty, and so every ref, where it cannot be told: what a finding says of itself may be redacted. */
function refnamesOf({ kind, oid }: Finding, bringing: readonly RefUpdate[], brought: Brought): ReadonlySet<string> {
  if (kind !== 'refname') return brought.refnames.get(oid) ?? new Set();
  const named = oid === '' ? undefined : bringing[Number(oid)];
  return new Set(named === undefined ? [] : [named.refname]);
}

interface Brought {
  /** By oid. Empty for what no ref was asked about: it counts for each. */
  readonly refnames: ReadonlyMap<string, ReadonlySet<string>>;
  readonly commits: ReadonlyMap<string, string>;
}

/** Which refs and commits bring what was found. Of very many refs none is asked: each is held to bring all of it. */
async function bringers(
  bringing: readonly RefUpdate[],
  found: readonly Finding[],
  where: Omit<NewObjectsOptions, 'tips' | 'known'>,
): Promise<Brought> {
  const oids = new Set(found.filter(({ kind }) => kind !== 'refname').map(({ oid }) => oid));
  oids.delete('');
  const refnames = new Map<string, Set<string>>();
  const commits = new Map<string, string>();
  if (oids.size === 0 || bringing.length > ASKED_REFS_MAX) return { refnames, commits };
  for (const { refname, newOid } of bringing) {
    for (const [oid, commit] of await oidsBrought({ ...where, tips: [newOid], known: 'refs' }, oids)) {
      refnames.set(oid, (refnames.get(oid) ?? new Set<string>()).add(refname));
      commits.set(oid, commit);
    }
  }
  return { refnames, commits };
}

/** Paths that are secrets themselves are not shown. */
export async function hiddenPaths(
  findings: readonly Finding[],
  scanner: Pick<Scanner, 'scan'>,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const paths = [...new Set(findings.map(({ path }) => path).filter((path) => path !== ''))];
  const items = paths.map((path, index): ScanItem => {
    return { kind: 'text', path: '', oid: String(index), content: Buffer.from(path) };
  });
  const report: ScanReport = await scanner.scan(items, { signal });
  return new Set(report.findings.flatMap(({ oid }) => paths[Number(oid)] ?? []));
}
