/** Which objects exist, and what annotated tags point at in the end, asked of one git process for many oids. */
import { Fault } from '../base/fault.ts';
import { type ObjectFormat, type Oid, parseOid } from './oid.ts';
import type { GitProcesses } from './processes.ts';
import { runGitOk } from './run.ts';

/** Oids in one process: its answer stays far under the bound of collected output. */
const BATCH = 100_000;
const DEADLINE_MS = 120_000;

/** What is known of an object: absent, or present and peeled (undefined where it is no tag, or its tag dangles). */
export type Peeling = { readonly kind: 'missing' } | { readonly kind: 'present'; readonly peeled?: Oid };

export interface PeelQuestion {
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly gitDir: string;
  readonly objectFormat: ObjectFormat;
}

/** Peels to the end: nested tags too, which `for-each-ref %(*objectname)` of git 2.39 does not. */
export async function peelMany(question: PeelQuestion, oids: readonly Oid[]): Promise<ReadonlyMap<Oid, Peeling>> {
  const known = new Map<Oid, Peeling>();
  for (let start = 0; start < oids.length; start += BATCH) {
    await peelBatch(question, oids.slice(start, start + BATCH), known);
  }
  return known;
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
