/** The secret scan outside a push: a repository's history, a text of somebody's own, the rules in force. */
import type { Clock } from '../base/clock.ts';
import { refuse, ok, type Parsed } from '../base/fault.ts';
import { factsOf } from '../git/objects.ts';
import type { Oid } from '../git/oid.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { Repository } from '../repository/repository.ts';
import type { Finding } from '../scan/finding.ts';
import type { RuleSet } from '../scan/rule-set.ts';
import type { Scanner, ScanReport } from '../scan/scanner.ts';
import type { Waiver, Waivers } from '../scan/waivers.ts';
import type { RefSource } from './commit.ts';
import { newObjects, oidsBrought, type NewObjectsOptions } from './new-objects.ts';
import { hiddenPaths, WITHHELD } from './scan-push.ts';

export interface ScanDeskParts {
  readonly processes: GitProcesses;
  readonly refs: RefSource;
  readonly scanner: Pick<Scanner, 'scan' | 'revision'>;
  readonly waivers: Waivers;
  readonly inForce: () => { readonly rules: RuleSet; readonly files: readonly string[] };
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly objectsMax: number;
}

export interface ScanQuestion {
  readonly repository: Repository;
  readonly what: { readonly kind: 'range'; readonly text: string } | { readonly kind: 'all' };
  readonly requestId: string;
  readonly signal: AbortSignal;
}

export interface DeskFinding {
  readonly finding: Finding;
  readonly path: string;
  readonly commit: string;
  readonly waiver?: Waiver;
}

export interface DeskReport extends Omit<ScanReport, 'findings'> {
  readonly findings: readonly DeskFinding[];
}

/** A revision as people write it, and nothing that searches for one. */
const REVISION = /^[A-Za-z0-9_](?:[\w./~^+-]|@(?!\{)){0,255}$/;

export class ScanDesk {
  readonly #parts: ScanDeskParts;

  constructor(parts: ScanDeskParts) {
    this.#parts = parts;
  }

  get waivers(): Waivers {
    return this.#parts.waivers;
  }

  rules(): {
    readonly revision: number;
    readonly files: readonly string[];
    readonly rules: readonly { readonly id: string; readonly description: string }[];
  } {
    const { rules, files } = this.#parts.inForce();
    const shown = rules.rules.map(({ id, description }) => ({ id, description }));
    return { revision: this.#parts.scanner.revision, files, rules: shown };
  }

  /** The rules in force, whole. */
  ruleSet(): RuleSet {
    return this.#parts.inForce().rules;
  }

  text(content: Uint8Array, path: string, signal: AbortSignal): Promise<ScanReport> {
    return this.#parts.scanner.scan([{ kind: 'text', path, oid: '', size: content.length, content }], { signal });
  }

  /** Refused where `what` names nothing. @throws Fault as `newObjects`. */
  async repository(question: ScanQuestion): Promise<Parsed<DeskReport>> {
    const { processes, scanner, deadlineMs, objectsMax, waivers } = this.#parts;
    const { repository, requestId, signal } = question;
    const ends = await this.#endsOf(question);
    if (ends.kind === 'refused') return ends;
    const options: NewObjectsOptions = {
      ...ends.value,
      processes,
      repository,
      objectDirectory: undefined,
      deadlineMs,
      objectsMax,
      signal,
      requestId,
    };
    const report = await scanner.scan(newObjects(options), { signal });
    const hidden = await hiddenPaths(report.findings, scanner, signal);
    const oids = new Set(report.findings.map(({ oid }) => oid));
    const commits = oids.size === 0 ? new Map<string, string>() : await oidsBrought(options, oids);
    const findings: DeskFinding[] = [];
    for (const finding of report.findings) {
      const waiver = await waivers.covering(finding.fingerprint, repository.id);
      findings.push({
        finding,
        path: hidden.has(finding.path) ? WITHHELD : finding.path,
        commit: commits.get(finding.oid) ?? '',
        ...(waiver === undefined ? {} : { waiver }),
      });
    }
    return ok({ ...report, findings });
  }

  async #endsOf(
    question: ScanQuestion,
  ): Promise<Parsed<{ readonly tips: readonly Oid[]; readonly known: readonly Oid[] }>> {
    const { repository, what, requestId, signal } = question;
    if (what.kind === 'all') {
      const { refs } = await this.#parts.refs.snapshot(repository);
      return ok({ tips: [...new Set(refs.map(({ oid }) => oid))], known: [] });
    }
    const [left, right, ...more] = what.text.split('..');
    const [old, now] = right === undefined ? [undefined, left ?? ''] : [left ?? '', right];
    const names = [now, ...(old === undefined ? [] : [old])];
    if (more.length > 0 || names.some((name) => !REVISION.test(name)))
      return refuse('RANGE is a revision, or OLD..NEW');
    const place = { processes: this.#parts.processes, gitDir: repository.path, requestId, signal };
    const facts = await factsOf(place, names);
    const missing = names.find((_, index) => facts[index] === undefined);
    if (missing !== undefined) return refuse(`${repository.name} has no revision ${JSON.stringify(missing)}`);
    const [tip, known] = facts;
    return ok({ tips: tip === undefined ? [] : [tip.oid], known: known === undefined ? [] : [known.oid] });
  }
}
