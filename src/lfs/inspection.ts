/** One LFS object through the secret scan: whether it may be here, in words that its sender can act on. */
import { createReadStream } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { Fault, ok, refuse, type Parsed } from '../base/fault.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import type { Finding } from '../scan/finding.ts';
import type { Scanner, ScanReport } from '../scan/scanner.ts';
import type { Waivers } from '../scan/waivers.ts';
import type { LfsPointer } from './pointer.ts';
import type { LfsScan } from './record.ts';

export interface InspectionParts {
  readonly scanner: Pick<Scanner, 'scan'>;
  readonly waivers: Pick<Waivers, 'covering' | 'note'>;
  readonly modeOf: (repository: RepositoryFacts) => 'on' | 'off' | 'report';
  /** Names the rules in force: the same text for the same rules, over restarts too. */
  readonly rules: () => string;
  readonly clock: Clock;
  /** Milliseconds for one object. */
  readonly deadlineMs: number;
}

export interface Inspected {
  readonly repository: RepositoryFacts;
  readonly pointer: LfsPointer;
  /** Its file. */
  readonly path: string;
  /** Names of who brings it: nobody waives their own. */
  readonly pushers: readonly string[];
  /** Where it lies in the tree, if that is known. */
  readonly name?: string;
  readonly signal: AbortSignal;
}

const SHOWN_MAX = 3;
const FINGERPRINT_CHARS = 16;

export class LfsInspection {
  readonly #parts: InspectionParts;

  constructor(parts: InspectionParts) {
    this.#parts = parts;
  }

  /** Whether this repository's objects are looked at. */
  isOn(repository: RepositoryFacts): boolean {
    return this.#parts.modeOf(repository) !== 'off';
  }

  /** Whether what a scan once said still counts: it found nothing, with the rules of now. */
  isCurrent(scan: LfsScan | undefined): boolean {
    return scan !== undefined && scan.findings === 0 && scan.rules === this.#parts.rules();
  }

  /**
   * What is to be written down of it; undefined where nothing is looked at here. Refused where it holds a secret that nobody
   * waived, or could not be looked at. @throws Fault `aborted`, and where the scan failed for no fault of the object's.
   */
  async inspect(inspected: Inspected): Promise<Parsed<LfsScan | undefined>> {
    const mode = this.#parts.modeOf(inspected.repository);
    if (mode === 'off') return ok(undefined);
    const rules = this.#parts.rules();
    const report = await this.#scan(inspected);
    if ('refusal' in report) return mode === 'report' ? ok(undefined) : refuse(report.refusal);
    const open = await this.#open(report.findings, inspected.repository.id);
    const scan = { at: this.#parts.clock.now(), rules, findings: report.findings.length + report.findingsDropped };
    if (open.length > 0) {
      const place = inspected.name ?? `lfs object ${inspected.pointer.oid}`;
      await this.#parts.waivers.note(
        open.map((finding) => ({ finding, place: `${place}:${finding.line}` })),
        inspected.pushers,
      );
    }
    if (mode === 'report') return ok(scan);
    if (open.length > 0) return refuse(words(open, inspected));
    if (report.findingsDropped > 0) return refuse('secret scan: more secrets than can be listed');
    const [unseen] = report.unscanned;
    if (unseen !== undefined) return refuse(`secret scan: ${unseen.reason}; what cannot be scanned is not taken`);
    return ok(scan);
  }

  async #scan({ pointer, path, name, signal }: Inspected): Promise<ScanReport | { readonly refusal: string }> {
    const { scanner, clock, deadlineMs } = this.#parts;
    const late = new AbortController();
    const cancel = clock.after(deadlineMs, () => {
      late.abort(new Fault('timeout', 'secret scan of an lfs object took too long'));
    });
    const item = {
      kind: 'lfs',
      path: name ?? '',
      oid: pointer.oid,
      size: pointer.size,
      content: bytesOf(path),
    } as const;
    try {
      return await scanner.scan([item], { signal: AbortSignal.any([signal, late.signal]) });
    } catch (error) {
      if (!signal.aborted && late.signal.aborted) {
        return { refusal: `the secret scan of this object took longer than ${Math.round(deadlineMs / 1000)} s` };
      }
      throw error;
    } finally {
      cancel();
    }
  }

  async #open(findings: readonly Finding[], repositoryId: string): Promise<readonly Finding[]> {
    const open: Finding[] = [];
    for (const finding of findings) {
      if ((await this.#parts.waivers.covering(finding.fingerprint, repositoryId)) === undefined) open.push(finding);
    }
    return open;
  }
}

/** Opened when it is first read, for an object that is too large is not read at all. */
async function* bytesOf(path: string): AsyncGenerator<Uint8Array> {
  const stream: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 256 * 1024 });
  yield* stream;
}

function words(open: readonly Finding[], { repository }: Inspected): string {
  const shown = open.slice(0, SHOWN_MAX).map(({ rule, inner, line, redacted, fingerprint }) => {
    const where = `${inner === '' ? '' : `${inner}, `}line ${line}`;
    return `${rule} at ${where}: ${redacted} (fingerprint ${fingerprint.slice(0, FINGERPRINT_CHARS)})`;
  });
  const more = open.length > SHOWN_MAX ? ` and ${open.length - SHOWN_MAX} more` : '';
  return (
    `secret scan: ${shown.join('; ')}${more}. Take it out; or somebody else who may answer for it runs: ` +
    `scan waive FINGERPRINT --repo ${repository.name} --reason TEXT`
  );
}
