/** What broke which check, and the words for it: a list for the person who pushes, one line for each ref. */
import type { Oid } from '../../git/oid.ts';
import { oneLine } from '../report.ts';
import type { Verdict } from '../step.ts';
import type { Check } from './check.ts';

/** One broken rule: of a commit, or of the refs themselves. */
export interface Failure {
  readonly check: Check;
  readonly words: string;
  readonly refname?: string;
  readonly oid?: Oid;
  readonly path?: string;
}

interface FailuresOf {
  readonly check: Check;
  count: number;
  /** The first few. */
  readonly shown: Failure[];
  /** Failures of each ref by itself. */
  readonly refs: Map<string, Failure>;
  /** Every commit that has any, with its first failure; undefined: too many to remember what it was. */
  readonly commits: Map<string, Failure | undefined>;
}

const WORDS_CHARS_MAX = 300;
const PATH_CHARS_MAX = 300;
/** Commits of one check whose failure is remembered in words. */
const WORDED_MAX = 1_000;
const SUBJECT_CHARS_MAX = 60;

export class Failures {
  readonly #shownMax: number;
  readonly #byCheck = new Map<Check, FailuresOf>();
  #shown = 0;

  constructor(shownMax: number) {
    this.#shownMax = shownMax;
  }

  add(failure: Failure): void {
    const path = failure.path === undefined ? {} : { path: cut(failure.path, PATH_CHARS_MAX) };
    const short = { ...failure, ...path, words: cut(failure.words, WORDS_CHARS_MAX) };
    const { check, refname, oid } = short;
    const of: FailuresOf = this.#byCheck.get(check) ?? {
      check,
      count: 0,
      shown: [],
      refs: new Map(),
      commits: new Map(),
    };
    this.#byCheck.set(check, of);
    of.count += 1;
    if (this.#shown < this.#shownMax) {
      of.shown.push(short);
      this.#shown += 1;
    }
    if (refname !== undefined && !of.refs.has(refname)) of.refs.set(refname, short);
    if (oid === undefined || of.commits.has(oid)) return;
    of.commits.set(oid, of.commits.size < WORDED_MAX ? short : undefined);
  }

  get isEmpty(): boolean {
    return this.#byCheck.size === 0;
  }

  get checks(): readonly Check[] {
    return [...this.#byCheck.keys()];
  }

  /** Failures of a check in all. */
  count(check: Check): number {
    return this.#byCheck.get(check)?.count ?? 0;
  }

  ofRef(check: Check, refname: string): Failure | undefined {
    return this.#byCheck.get(check)?.refs.get(refname);
  }

  /** Every commit that breaks the check. */
  commits(check: Check): ReadonlyMap<string, unknown> {
    return this.#byCheck.get(check)?.commits ?? new Map<string, unknown>();
  }

  /** The first failure of one of them. */
  ofCommit(check: Check, oid: Oid): Failure {
    return this.#byCheck.get(check)?.commits.get(oid) ?? { check, oid, words: 'breaks this check' };
  }

  /** The commits that the list names. */
  get shownCommits(): readonly Oid[] {
    const all = [...this.#byCheck.values()].flatMap(({ shown }) => shown.flatMap(({ oid }) => oid ?? []));
    return [...new Set(all)];
  }

  /** The list; empty where there is nothing to tell. */
  text(subjects: ReadonlyMap<string, string>): string {
    const lines: string[] = [];
    for (const { check, count, shown } of this.#byCheck.values()) {
      lines.push(`gatehouse: ${titleOf(check)}${MEANING[check.action]}`);
      for (const failure of shown) lines.push(`  ${oneLine(wordsOf(failure, subjects))}`);
      if (count > shown.length) lines.push(`  and ${count - shown.length} more`);
    }
    return lines.map((line) => `${line}\n`).join('');
  }
}

/** A copy: a part of a long text would keep all of it in memory. */
function cut(text: string, max: number): string {
  return text.length <= max ? text : `${Buffer.from(text.slice(0, max)).toString('utf8')}...`;
}

const MEANING: Readonly<Record<Check['action'], string>> = {
  refuse: '',
  hold: ' (an approver may let it pass)',
  warn: ' (a warning: nothing is refused for it)',
};

/** `checks/site.toml:3, signed work` */
export function titleOf({ file, line, name }: Check): string {
  return `${file}${line === 0 ? '' : `:${line}`}, ${name}`;
}

/** `refs/heads/main: ...`, or `commit 1a2b3c4d5e "Fix it": src/a.exe: ...`. */
export function wordsOf({ refname, oid, path, words }: Failure, subjects: ReadonlyMap<string, string>): string {
  const subject = oid === undefined ? undefined : subjects.get(oid);
  const commit = oid === undefined ? undefined : `commit ${oid.slice(0, SHORT_DIGITS)}${quoted(subject)}`;
  const what = oid === undefined ? refname : commit;
  return [what, path, words].filter((part) => part !== undefined && part !== '').join(': ');
}

const SHORT_DIGITS = 10;

function quoted(subject: string | undefined): string {
  if (subject === undefined || subject === '') return '';
  return ` "${subject.length > SUBJECT_CHARS_MAX ? `${subject.slice(0, SUBJECT_CHARS_MAX)}...` : subject}"`;
}

export function verdictOf(options: {
  readonly failure: Failure;
  readonly refname: Verdict['refname'];
  readonly subjects: ReadonlyMap<string, string>;
  /** Failures of this push beside this one. */
  readonly others: number;
}): Verdict {
  const { failure, refname, subjects, others } = options;
  const { check } = failure;
  const own = wordsOf({ ...failure, ...(failure.refname === refname ? { refname: '' } : {}) }, subjects);
  const more = others === 0 ? '' : ` (and ${others} more ${others === 1 ? 'failure' : 'failures'}, listed above)`;
  return {
    refname,
    reason: `${titleOf(check)}: ${own}${more}`,
    rule: titleOf(check),
    ...(check.action === 'hold' ? { hold: true } : {}),
  };
}
