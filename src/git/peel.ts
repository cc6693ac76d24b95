/** Which objects exist, and what annotated tags point at in the end: few are read by the gate itself, many asked of one git process. */
import { Fault } from '../base/fault.ts';
import { OBJECT_TYPES } from './objects.ts';
import { BeyondReach, type Odb, type RawObject, withinReach } from './odb/odb.ts';
import { type ObjectFormat, type Oid, parseOid } from './oid.ts';
import type { GitProcesses } from './processes.ts';
import { runGitOk } from './run.ts';

/** Oids in one process: its answer stays far under the bound of collected output. */
const BATCH = 100_000;
const DEADLINE_MS = 120_000;
/** So many are cheaper read here than a process is started. */
const IN_PROCESS_MAX = 256;
/** Tags of tags; git follows any number. */
const TAG_DEPTH_MAX = 64;

/** What is known of an object: absent, or present and peeled (undefined where it is no tag, or its tag dangles). */
export type Peeling = { readonly kind: 'missing' } | { readonly kind: 'present'; readonly peeled?: Oid };

export interface PeelQuestion {
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly gitDir: string;
  readonly objectFormat: ObjectFormat;
  /** The same objects, read without a process where that is possible. */
  readonly odb?: Odb | undefined;
}

/** Peels to the end: nested tags too, which `for-each-ref %(*objectname)` of git 2.39 does not. */
export async function peelMany(question: PeelQuestion, oids: readonly Oid[]): Promise<ReadonlyMap<Oid, Peeling>> {
  const known = new Map<Oid, Peeling>();
  const left = await peelHere(question, oids, known);
  for (let start = 0; start < left.length; start += BATCH) {
    await peelBatch(question, left.slice(start, start + BATCH), known);
  }
  return known;
}

/** What is left for git. */
async function peelHere(
  { odb, objectFormat }: PeelQuestion,
  oids: readonly Oid[],
  known: Map<Oid, Peeling>,
): Promise<readonly Oid[]> {
  if (odb === undefined || oids.length > IN_PROCESS_MAX) return oids;
  const left: Oid[] = [];
  for (const oid of oids) {
    const peeling = await withinReach(() => peelOne(odb, oid, objectFormat));
    if (peeling === undefined) left.push(oid);
    else known.set(oid, peeling.answer);
  }
  return left;
}

async function peelOne(odb: Odb, oid: Oid, format: ObjectFormat): Promise<Peeling> {
  const header = await odb.header(oid);
  if (header === undefined) return { kind: 'missing' };
  if (header.type !== 'tag') return PRESENT;
  let object = await odb.read(oid);
  for (let depth = 0; depth < TAG_DEPTH_MAX; depth += 1) {
    const { target, type } = parseTag(object, format);
    object = await odb.read(target);
    if (object === undefined) return PRESENT;
    if (object.type !== type) throw new BeyondReach('tag points at another type than it says');
    if (type !== 'tag') {
      assertParsed(object, format);
      return { kind: 'present', peeled: target };
    }
  }
  throw new BeyondReach('tags are nested too deep');
}

/** gitformat: a tag begins with `object OID`, `type TYPE`, `tag NAME`; anything else is for git to judge. */
function parseTag(tag: RawObject | undefined, format: ObjectFormat): { readonly target: Oid; readonly type: string } {
  const text = tag?.bytes.toString('latin1', 0, 128) ?? '';
  const [, hex = '', type = ''] = /^object ([0-9a-f]+)\ntype ([a-z]+)\ntag [^\n]/.exec(text) ?? [];
  const target = parseOid(hex, format);
  if (target === undefined || !(OBJECT_TYPES as readonly string[]).includes(type)) {
    throw new BeyondReach('tag begins strangely');
  }
  return { target, type };
}

/** git peels to what it can parse only: of commits tree, parents and author have to be there. */
function assertParsed({ type, bytes }: RawObject, format: ObjectFormat): void {
  if (type !== 'commit') return;
  const [head] = bytes.toString('latin1', 0, COMMIT_HEAD_BYTES).split('\nauthor ', 1);
  const isOid = (line: string, name: string): boolean =>
    line.startsWith(name) && parseOid(line.slice(name.length), format) !== undefined;
  const [tree = '', ...parents] = head?.split('\n') ?? [];
  if (!isOid(tree, 'tree ') || !parents.every((line) => isOid(line, 'parent '))) {
    throw new BeyondReach('commit begins strangely');
  }
}

async function peelBatch(question: PeelQuestion, oids: readonly Oid[], known: Map<Oid, Peeling>): Promise<void> {
  const { processes, gitDir, objectFormat } = question;
  const spec = { subcommand: 'cat-file', options: ['--batch-check=%(objectname)', '--buffer'] } as const;
  const input = Buffer.from(oids.map((oid) => `${oid}\n${oid}^{}\n`).join(''));
  const output = await runGitOk(processes, { ...spec, gitDir, deadlineMs: DEADLINE_MS }, input);
  const lines = output.toString('latin1').split('\n');
  if (lines.length !== 2 * oids.length + 1) {
    throw new Fault('process', 'git answered too little', { context: { asked: oids.length, lines: lines.length } });
  }
  for (const [index, oid] of oids.entries()) {
    const present = parseOid(lines[2 * index] ?? '', objectFormat);
    const peeled = parseOid(lines[2 * index + 1] ?? '', objectFormat);
    if (present === undefined) known.set(oid, { kind: 'missing' });
    else if (peeled === undefined || peeled === oid) known.set(oid, PRESENT);
    else known.set(oid, { kind: 'present', peeled });
  }
}

const PRESENT: Peeling = { kind: 'present' };
/** Some forty parents; a commit with more is left to git. */
const COMMIT_HEAD_BYTES = 4_096;
