/**
 * All checks of one push. What they need of it is read once for all of them, and only what some check asks for: no check
 * that needs commits, no git process.
 */
import { BOUNDS } from '../../base/bounds.ts';
import type { Clock } from '../../base/clock.ts';
import { Stint } from '../../base/stint.ts';
import type { ObjectPlace } from '../../git/objects.ts';
import { isZeroOid, type Oid } from '../../git/oid.ts';
import { innerProcesses, type GitProcesses } from '../../git/processes.ts';
import type { RefSnapshot } from '../../git/ref-cache.ts';
import type { Repository } from '../../repository/repository.ts';
import type { Push, RefUpdate } from '../step.ts';
import { AddedNames, collisionsAt } from './case-collisions.ts';
import { changedFiles, type CommitChanges } from './changed-files.ts';
import { coversRef, needsOf, type Check } from './check.ts';
import { CommitReading } from './commit-rules.ts';
import type { Failures } from './failures.ts';
import { judgeFiles, needsContents, readObjects, type AskedFile } from './file-rules.ts';
import { judgeHistory } from './history-rules.ts';
import { changedByMerge } from './merge-sides.ts';
import { MODES, pathProblems } from './path-rules.ts';
import { PushPeople, type PeopleSource } from './people.ts';
import { reachesOf, tipCommits, type Reach, type ReachParts } from './reach.ts';
import { judgeTags, refProblems } from './ref-rules.ts';
import { subjectOf } from './signed-object.ts';

export interface RunParts {
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly refs: { snapshot(repository: Repository): Promise<RefSnapshot> };
  readonly people: PeopleSource;
  readonly clock: Clock;
}

/** Files whose contents are asked for together. */
const FILES_TOGETHER = 5_000;
const PROGRESS_MS = 10_000;

export class CheckRun {
  readonly #parts: RunParts;
  readonly #push: Push;
  readonly #failures: Failures;
  readonly #people: PushPeople;
  readonly #place: ObjectPlace;
  #reaches: readonly Reach[] = [];
  #tips: ReadonlyMap<string, Oid> = new Map();
  #told: number;

  constructor(parts: RunParts, push: Push, options: { readonly failures: Failures; readonly signal: AbortSignal }) {
    const { objectDirectory, odb, requestId, repository } = push;
    this.#parts = parts;
    this.#push = push;
    this.#failures = options.failures;
    this.#people = new PushPeople(parts.people, push.principal);
    this.#told = parts.clock.monotonicMs();
    this.#place = {
      processes: parts.processes,
      gitDir: repository.path,
      ...(objectDirectory === undefined ? {} : { objectDirectory }),
      ...(odb === undefined ? {} : { odb }),
      requestId,
      signal: options.signal,
    };
  }

  /** What commits a check was about; known when `run` is over. */
  get reaches(): readonly Reach[] {
    return this.#reaches;
  }

  /** New value -> the commit it leads to. */
  get tips(): ReadonlyMap<string, Oid> {
    return this.#tips;
  }

  /** @throws Fault `bad-input` with a public message beyond a bound; `process`, `timeout`, `aborted`. */
  async run(checks: readonly Check[]): Promise<void> {
    await this.#judgeRefs(checks);
    await this.#judgeTags(checks.filter((check) => needsOf(check).tags));
    const ofHistory = checks.filter((check) => needsOf(check).history || check.rules.within !== undefined);
    if (ofHistory.length === 0) return;
    const parts: ReachParts = {
      place: this.#place,
      deadlineMs: BOUNDS.checkMs,
      brought: this.#push.brought,
      snapshot: () => this.#parts.refs.snapshot(this.#push.repository),
    };
    this.#reaches = await reachesOf(parts, ofHistory, this.#push.updates);
    if (this.#reaches.length === 0) return;
    this.#tips = await tipCommits(this.#place, this.#push.updates);
    this.#refuseUnseen();
    await this.#judgeHistory(parts);
    await this.#judgeCommits();
    await this.#judgePaths();
  }

  async #judgeRefs(checks: readonly Check[]): Promise<void> {
    const stint = new Stint(this.#parts.clock);
    for (const update of this.#push.updates) {
      if (stint.isOver) await stint.rest();
      for (const check of checks) {
        if (!coversRef(check, update.refname)) continue;
        for (const words of refProblems(check, update)) this.#complainOfRef(check, update, words);
        if (!check.rules.pushCertificate) continue;
        const words = this.#certificateProblem();
        if (words !== undefined) this.#complainOfRef(check, update, words);
      }
    }
  }

  #certificateProblem(): string | undefined {
    const { certificate } = this.#push;
    if (certificate === undefined) return 'the push is not signed: git push --signed';
    const asked = { format: 'any', by: 'pusher', committer: undefined } as const;
    if (certificate.kind === 'bad') return `the push certificate ${certificate.reason}`;
    const problem = this.#people.signatureProblem(certificate, asked);
    return problem === undefined ? undefined : `the push certificate ${problem}`;
  }

  async #judgeTags(checks: readonly Check[]): Promise<void> {
    const asked = this.#push.updates
      .filter(({ newOid }) => !isZeroOid(newOid))
      .map((update) => ({ update, checks: checks.filter((check) => coversRef(check, update.refname)) }))
      .filter((one) => one.checks.length > 0);
    if (asked.length === 0) return;
    const complain = (check: Check, update: RefUpdate, words: string): void =>
      this.#complainOfRef(check, update, words);
    const { objectFormat } = this.#push.repository;
    await judgeTags({ place: this.#place, format: objectFormat, people: this.#people, asked, complain });
  }

  /** What leads to no commit brings files that no commit tells of. */
  #refuseUnseen(): void {
    for (const { checks, updates } of this.#reaches) {
      for (const update of [...updates].filter(({ newOid }) => !this.#tips.has(newOid))) {
        for (const check of checks.filter((one) => needsOf(one).paths)) {
          this.#complainOfRef(check, update, 'it leads to no commit: what it brings cannot be looked at');
        }
      }
    }
  }

  async #judgeHistory(parts: ReachParts): Promise<void> {
    const { updates, atomic } = this.#push;
    const fresh = updates.flatMap(({ refname, newOid }) => {
      const tip = this.#tips.get(newOid);
      return tip === undefined ? [] : [[refname, tip] as const];
    });
    const together = new Map<string, Oid>(atomic ? fresh : []);
    for (const reach of this.#reaches) {
      for (const check of reach.checks) {
        const complain = this.#failures.add.bind(this.#failures);
        await judgeHistory({ ...parts, reach, check, tips: this.#tips, together, complain });
      }
    }
  }

  async #judgeCommits(): Promise<void> {
    const checksOf = this.#askers((check) => needsOf(check).commits);
    const oids = this.#asked(checksOf);
    if (oids.length === 0) return;
    const stint = new Stint(this.#parts.clock);
    const { objectFormat } = this.#push.repository;
    let done = 0;
    await readObjects(this.#place, oids, async (oid, { content }) => {
      const bytes = content instanceof Uint8Array ? Buffer.from(content) : undefined;
      const reading = bytes === undefined ? undefined : new CommitReading(this.#people, bytes, objectFormat);
      for (const check of checksOf(oid)) {
        const problems = reading === undefined ? [TOO_LONG] : await reading.problems(check.rules);
        for (const words of problems) this.#failures.add({ check, oid, words });
        if (stint.isOver) await stint.rest();
      }
      done += 1;
      this.#progress(`${done} of ${oids.length} commits`);
    });
  }

  async #judgePaths(): Promise<void> {
    const checksOf = this.#askers((check) => needsOf(check).paths);
    const asked = new Set(this.#asked(checksOf));
    const added = new Map<Reach, AddedNames>();
    const stint = new Stint(this.#parts.clock);
    let waiting: AskedFile[] = [];
    const settle = async (): Promise<void> => {
      const files = waiting;
      waiting = [];
      await judgeFiles(this.#inner, files, ({ commit: oid, file }, check, words) => {
        this.#failures.add({ check, oid, path: file.path, words });
      });
    };
    const commits = new Map(
      this.#reaches.flatMap((reach) => [...reach.commits].filter(([oid]) => asked.has(oid as Oid))),
    ); // listed by git
    let done = 0;
    for await (const changes of changedFiles({ place: this.#place, commits, deadlineMs: BOUNDS.checkMs })) {
      const parents = commits.get(changes.commit) ?? [];
      waiting.push(...this.#judgeChanges(changes, checksOf(changes.commit), parents.length));
      if (changes.taken.length > 0) await this.#judgeTaken(changes, checksOf(changes.commit), parents);
      this.#noteAdded(added, changes);
      if (waiting.length >= FILES_TOGETHER) await settle();
      if (stint.isOver) await stint.rest();
      done += 1;
      this.#progress(`the files of ${done} of ${commits.size} commits`);
    }
    await settle();
    await this.#judgeCollisions(added);
  }

  /** Returns what has to be looked into. */
  #judgeChanges(changes: CommitChanges, checks: readonly Check[], parents: number): readonly AskedFile[] {
    const { commit: oid, files, isAnyDifferent } = changes;
    const waiting: AskedFile[] = [];
    for (const check of checks) {
      if (check.rules.emptyCommits && !isAnyDifferent && parents < 2) {
        this.#failures.add({ check, oid, words: 'changes nothing' });
      }
    }
    for (const file of files) {
      for (const check of checks) {
        for (const words of pathProblems(check.rules, file)) this.#failures.add({ check, oid, path: file.path, words });
      }
      const inside = checks.filter((check) => needsContents(check, file));
      if (inside.length > 0) waiting.push({ commit: oid, file, checks: inside });
    }
    return waiting;
  }

  /** What a merge did by taking a side; git is asked only where a file would be refused. */
  async #judgeTaken(
    { commit: oid, taken }: CommitChanges,
    checks: readonly Check[],
    parents: readonly string[],
  ): Promise<void> {
    const problems = taken.flatMap(({ path, ...file }) =>
      checks.flatMap((check) => {
        return pathProblems(check.rules, { path, ...file }).map((words) => ({ check, path, words }));
      }),
    );
    if (problems.length === 0) return;
    const paths = new Set(problems.map(({ path }) => path));
    const own = await changedByMerge(this.#inner, { commit: oid, parents, paths });
    for (const { check, path, words } of problems) {
      if (own.has(path)) this.#failures.add({ check, oid, path, words });
    }
  }

  #noteAdded(added: Map<Reach, AddedNames>, { commit, files }: CommitChanges): void {
    for (const reach of this.#reaches) {
      if (!reach.commits.has(commit) || !reach.checks.some(({ rules }) => rules.caseCollisions)) continue;
      const names = added.get(reach) ?? new AddedNames();
      added.set(reach, names);
      for (const { path, mode, oldOid } of files)
        if (oldOid === undefined && mode !== MODES.gone) names.add(path, commit);
    }
  }

  async #judgeCollisions(added: ReadonlyMap<Reach, AddedNames>): Promise<void> {
    for (const [{ checks, updates }, names] of added) {
      if (names.isEmpty) continue;
      const asking = checks.filter(({ rules }) => rules.caseCollisions);
      const byTip = Map.groupBy(updates, ({ newOid }) => this.#tips.get(newOid));
      for (const [tip, own] of byTip) {
        const collisions = tip === undefined ? [] : await collisionsAt(this.#place, tip, names);
        for (const { path, other } of collisions) {
          const words = `differs from ${other} in case only, added by this push`;
          for (const check of asking) {
            for (const { refname } of own) this.#failures.add({ check, refname, path, words });
          }
        }
      }
    }
  }

  /** The first line of each commit that the list of failures names. */
  async subjects(oids: readonly Oid[]): Promise<ReadonlyMap<string, string>> {
    const subjects = new Map<string, string>();
    if (oids.length === 0) return subjects;
    await readObjects(this.#place, oids, async (oid, { content }) => {
      if (!(content instanceof Uint8Array)) return;
      const text = Buffer.from(content).toString('utf8');
      const body = text.indexOf('\n\n');
      if (body >= 0) subjects.set(oid, subjectOf(text.slice(body + 2)));
    });
    return subjects;
  }

  /** To ask while what changes is still being listed. */
  get #inner(): ObjectPlace {
    return { ...this.#place, processes: innerProcesses(this.#place.processes) };
  }

  /** Which checks of some kind ask about a commit. */
  #askers(isAsking: (check: Check) => boolean): (oid: string) => readonly Check[] {
    const asking = this.#reaches.map((reach) => ({ ...reach, checks: reach.checks.filter(isAsking) }));
    return (oid) => asking.flatMap(({ checks, commits }) => (checks.length > 0 && commits.has(oid) ? checks : []));
  }

  #asked(checksOf: (oid: string) => readonly Check[]): readonly Oid[] {
    const all = new Set(this.#reaches.flatMap(({ commits }) => [...commits.keys()]));
    return [...all].filter((oid) => checksOf(oid).length > 0) as Oid[]; // listed by git
  }

  #complainOfRef(check: Check, { refname }: RefUpdate, words: string): void {
    this.#failures.add({ check, refname, words });
  }

  #progress(what: string): void {
    const now = this.#parts.clock.monotonicMs();
    if (now - this.#told < PROGRESS_MS) return;
    this.#told = now;
    this.#push.tell(`gatehouse: checks have looked at ${what}\n`);
  }
}

const TOO_LONG = `is longer than ${BOUNDS.checkCommitBytesMax} bytes, which is not looked at`;
