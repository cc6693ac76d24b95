/**
 * The step that stands for gitolite's update hook: for each update that the policy allowed, the virtual refs of the
 * rules in their order, the triggers of the site, and the site's log. The first check that refuses ends an update.
 */
import { printable } from '../../access/problem.ts';
import { Fault } from '../../base/fault.ts';
import type { ObjectPlace } from '../../git/objects.ts';
import { isZeroOid, type Oid } from '../../git/oid.ts';
import type { GitProcesses } from '../../git/processes.ts';
import { hookDeclined } from '../../receive/decide.ts';
import type { NativeRefusal, Push, RefUpdate, Step, Verdict } from '../../receive/step.ts';
import { glLog, glWarn } from '../gl-log.ts';
import { trigger } from '../run-triggers.ts';
import { vrefsOf, type FindGround } from './ground.ts';
import { UpdateCheck, type Denial, type UpdateCheckOptions } from './update-check.ts';
import { Voice } from './voice.ts';
import { fatalText } from '../words.ts';

export interface UpdateStepOptions {
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly findGround: FindGround;
  /** What one program of the site may take. */
  readonly programMs?: number;
  /** Whether they reach the network. */
  readonly isOnline?: boolean;
}

const PROGRAM_MS = 2 * 60_000;
const MERGE_CHECK_IGNORED = 'ref create/delete ignored for purposes of merge-check\n';

export function createUpdateStep(options: UpdateStepOptions): Step {
  const step = new UpdateStep(options);
  return {
    name: 'gitolite-update',
    before: (push) => step.before(push),
    refused: (push, refusal) => step.refused(push, refusal),
    check: (push) => step.check(push),
  };
}

class UpdateStep {
  readonly #options: UpdateStepOptions;

  constructor(options: UpdateStepOptions) {
    this.#options = options;
  }

  /** Says so where a strict check of merges has nothing to look at. */
  async before(push: Push): Promise<readonly Verdict[]> {
    const voice = new Voice(push);
    const ends = push.updates.filter(({ kind }) => kind === 'create' || kind === 'delete');
    const ground = ends.length === 0 ? undefined : await this.#options.findGround(push, voice);
    if (ground === undefined || !ground.access.hasOption(ground.repository, 'MERGE_CHECK')) return [];
    for (const _ of ends) {
      if (ground.run === undefined) voice.say(`WARNING: ${MERGE_CHECK_IGNORED}`);
      else await glWarn(ground.run, MERGE_CHECK_IGNORED);
    }
    return [];
  }

  /** The conf refused the ref itself: triggers and log hear of it as they do in gitolite. */
  async refused(push: Push, { refname, oldOid, newOid, native }: NativeRefusal): Promise<void> {
    const voice = new Voice(push);
    const ground = await this.#options.findGround(push, voice);
    if (ground?.run === undefined) return;
    try {
      const args = [push.repository.name, ground.user.name, native.attempt, refname, native.text, oldOid, newOid];
      await trigger(ground.run, 'ACCESS_2', args);
    } catch (error) {
      // It is refused all the same.
      voice.say(fatalText(error));
    }
    voice.end();
    await glLog(ground.run, 'die', native.text);
  }

  async check(push: Push): Promise<readonly Verdict[]> {
    const voice = new Voice(push);
    const ground = await this.#options.findGround(push, voice);
    if (ground === undefined) return [];
    const rules = { vrefs: vrefsOf(ground), config: ground.access.config(ground.repository) };
    if (rules.vrefs.length === 0 && ground.run === undefined) return [];
    const verdicts: Verdict[] = [];
    const earlier: Oid[] = [];
    for (const update of push.updates) {
      const denial = await this.#denialOf(push, update, { ground, voice, earlier, ...rules });
      // Git updates one ref after another: what the next brings is less new. Of an atomic push all are new.
      if (denial === undefined && !push.atomic && !isZeroOid(update.newOid)) earlier.push(update.newOid);
      if (denial === undefined) continue;
      voice.end();
      push.tell(
        `${denial.text === '' ? '' : `FATAL: ${denial.text}\n`}error: hook declined to update ${update.refname}\n`,
      );
      verdicts.push(verdictOf(update, denial));
      if (ground.run !== undefined && denial.text !== '') await glLog(ground.run, 'die', denial.text);
      if (push.atomic) break;
    }
    voice.end();
    return verdicts;
  }

  async #denialOf(
    push: Push,
    update: RefUpdate,
    about: Pick<UpdateCheckOptions, 'ground' | 'voice' | 'earlier' | 'vrefs' | 'config'>,
  ): Promise<Denial | undefined> {
    const { processes, programMs = PROGRAM_MS, isOnline = false } = this.#options;
    const check = new UpdateCheck({ ...about, push, update, place: placeOf(push, processes), programMs, isOnline });
    try {
      return await check.run();
    } catch (error) {
      if (!(error instanceof Fault) || error.publicMessage === undefined || error.code === 'aborted') throw error;
      // A trigger that failed has said why.
      return { text: error.context['exit'] === undefined ? error.publicMessage : '' };
    }
  }
}

function verdictOf({ refname }: RefUpdate, { text, rule }: Denial): Verdict {
  const where = rule === undefined ? 'conf/gitolite.conf' : `conf/${rule.file}:${rule.line}`;
  const [what = '', ...message] = text.trimEnd().split('\n');
  const [asked = '', by] = what.split(/ (?=DENIED by )/);
  const said = by === undefined ? asked : `${by} (${asked})`;
  const reason = printable(`${where}: ${[said === '' ? 'a trigger refused it' : said, ...message].join('; ')}`);
  return { refname, reason, report: hookDeclined(reason), ...(rule === undefined ? {} : { rule: where }) };
}

function placeOf(
  { repository, objectDirectory, requestId, signal }: Push,
  processes: Pick<GitProcesses, 'start'>,
): ObjectPlace {
  const own = objectDirectory === undefined ? {} : { objectDirectory };
  return { processes, gitDir: repository.path, ...own, requestId, signal };
}
