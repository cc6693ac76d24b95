/**
 * `gatehouse gitolite adopt [HOME]`: takes a gitolite site over in place, says beforehand what that changes, compares both on
 * request, and undoes it. It works on the account's files, without a gate.
 */
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { parseArgs } from 'node:util';
import { systemClock } from '../base/clock.ts';
import type { Json } from '../base/json.ts';
import { carryOut, readManifest, undoAdoption } from '../gitolite/adopt/backup.ts';
import { compareSites } from '../gitolite/adopt/compare.ts';
import { askOld, findOldGitolite } from '../gitolite/adopt/old-gitolite.ts';
import { planAdoption, type Plan } from '../gitolite/adopt/plan.ts';
import type { QuestionBounds } from '../gitolite/adopt/questions.ts';
import { comparisonJson, comparisonText, planJson, planText } from '../gitolite/adopt/report.ts';
import { createNewRun } from '../gitolite/new-run.ts';
import { openSite } from '../gitolite/open-site.ts';
import { createRcReader } from '../gitolite/rc-file.ts';
import type { Run } from '../gitolite/run.ts';
import type { Site } from '../gitolite/site.ts';
import { fatalText } from '../gitolite/words.ts';

export interface AdoptCall {
  /** Behind `gitolite adopt`. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

const ADOPT_HELP = `usage: gatehouse gitolite adopt [HOME] [--dry-run | --undo] [--yes] [--json] [--decisions N]

Takes the gitolite site of an account over, where it lies. Nothing moves: conf, keys, settings, repositories with
gl-perms and gl-creator stay, and stay the truth. HOME is the account's home; default: $HOME.

  --dry-run      change nothing: show the plan, then ask the installed gitolite and Gatehouse the same questions
                 about every user and repository, and show where the answers differ
  --decisions N  with --dry-run: ask at most so many; default 1000000
  --yes          do it without asking
  --undo         put everything back
  --json         print one JSON document
`;

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const DECISIONS_MAX = 1_000_000;
/** Processes of the old gitolite, each some 50 ms; and decisions that each is worth at least. */
const BATCHES_MAX = 5_000;
const DECISIONS_A_BATCH = 25;
const BIN = join(import.meta.dirname, '../../bin');

export async function adoptSite(call: AdoptCall): Promise<number> {
  const options = optionsOf(call);
  if (typeof options === 'string') {
    call.stderr.write(`gatehouse: ${options}\n${ADOPT_HELP}`);
    return EXIT_USAGE;
  }
  if (options.help) {
    call.stdout.write(ADOPT_HELP);
    return 0;
  }
  try {
    const run = await openRun(call, options.home);
    return options.undo ? await undo(run, call, options) : await adopt(run, call, options);
  } catch (error) {
    call.signal.throwIfAborted();
    call.stderr.write(fatalText(error).replace(/^FATAL: /, 'gatehouse: '));
    return EXIT_FAILED;
  }
}

interface Options {
  readonly home: string;
  readonly dryRun: boolean;
  readonly undo: boolean;
  readonly yes: boolean;
  readonly json: boolean;
  readonly help: boolean;
  readonly decisions: number;
}

/** Or what is wrong with them. */
function optionsOf({ argv, env, cwd }: AdoptCall): Options | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        'dry-run': { type: 'boolean', default: false },
        undo: { type: 'boolean', default: false },
        yes: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        decisions: { type: 'string', default: String(DECISIONS_MAX) },
      },
    });
    const [home = env['HOME'], ...more] = positionals;
    const decisions = Number(values.decisions);
    if (more.length > 0) return 'one HOME at a time';
    if (home === undefined) return 'HOME is missing';
    if (values['dry-run'] && values.undo) return '--dry-run and --undo do not go together';
    if (!Number.isSafeInteger(decisions) || decisions < 1) return '--decisions is a number from 1';
    const { undo, yes, json, help } = values;
    return { home: resolve(cwd, home), dryRun: values['dry-run'], undo, yes, json, help, decisions };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Nothing that is read on the way leaves a line in the site's log. */
async function openRun(call: AdoptCall, home: string): Promise<Run> {
  const site = openSite({ home, readRc: createRcReader({ binDirectory: BIN }), clock: systemClock });
  const given = Object.entries(call.env).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  const env = Object.fromEntries(given.filter(([name]) => !name.startsWith('GL_')));
  const newRun = createNewRun({ site, clock: systemClock });
  const { stdin, stdout, stderr, signal } = call;
  return newRun({ env: { ...env, HOME: home, GL_LOGFILE: '/dev/null' }, cwd: home, stdin, stdout, stderr, signal });
}

async function adopt(run: Run, call: AdoptCall, options: Options): Promise<number> {
  const plan = await planAdoption(run);
  if (!options.json) await run.print(planText(run, plan));
  if (options.dryRun) return compare(run, call, { plan, options });
  const answer = (done: boolean): Json => ({ plan: planJson(run, plan), done });
  if (plan.blockers.length > 0)
    return tell(run, { options, json: answer(false), text: '\nNothing was changed.\n', code: 1 });
  if (plan.changes.length > 0) {
    if (!options.yes && !(await isAgreed(call)))
      return tell(run, { options, json: answer(false), text: 'Nothing was changed.\n', code: 1 });
    await carryOut(run, plan);
  }
  const text =
    plan.changes.length === 0 ? '' : `\nTaken over. To go back: gatehouse gitolite adopt ${plan.home} --undo\n`;
  return tell(run, { options, json: answer(true), text, code: 0 });
}

async function isAgreed({ stdin, stderr, signal }: AdoptCall): Promise<boolean> {
  const questions = createInterface({ input: stdin, output: stderr });
  try {
    const closed = once(questions, 'close').then(() => '');
    const answer = await Promise.race([questions.question('\nTake it over? [y/N] ', { signal }), closed]);
    return /^y(?:es)?$/i.test(answer.trim());
  } finally {
    questions.close();
  }
}

interface Told {
  readonly options: Options;
  readonly json: Json;
  readonly text: string;
  readonly code: number;
}

async function tell(run: Run, { options, json, text, code }: Told): Promise<number> {
  await run.print(options.json ? `${JSON.stringify(json, undefined, 2)}\n` : text);
  return code;
}

async function compare(
  run: Run,
  { stderr }: AdoptCall,
  { plan, options }: { readonly plan: Plan; readonly options: Options },
): Promise<number> {
  const { old, blockers, survey, conf } = plan;
  const code = blockers.length > 0 ? EXIT_FAILED : 0;
  if (old === undefined || blockers.length > 0) {
    const why = old === undefined ? 'gitolite is not installed here' : 'the conf has to be mended first';
    const json = { plan: planJson(run, plan), comparison: null };
    return tell(run, { options, json, text: `\nNothing was compared: ${why}.\n`, code });
  }
  const started = systemClock.monotonicMs();
  const isTerminal = 'isTTY' in stderr && stderr.isTTY === true;
  const comparison = await compareSites(withConf(run, conf), {
    old,
    universe: { compiled: conf.compiled, users: survey.users, repositories: survey.repositories },
    bounds: boundsFor(options.decisions),
    progress: (share) => {
      if (isTerminal) stderr.write(`\rcomparing: ${Math.floor(share * 100)} %${share === 1 ? '\n' : ''}`);
    },
  });
  const seconds = (systemClock.monotonicMs() - started) / 1000;
  return tell(run, {
    options,
    json: { plan: planJson(run, plan), comparison: comparisonJson(comparison) },
    text: `\n${comparisonText(comparison, seconds)}`,
    code: comparison.differing === 0 ? 0 : EXIT_FAILED,
  });
}

function boundsFor(decisionsMax: number): QuestionBounds {
  return { decisionsMax, batchesMax: Math.min(BATCHES_MAX, Math.ceil(decisionsMax / DECISIONS_A_BATCH)) };
}

/** The conf as its files are, whatever an earlier adoption kept in force. */
function withConf(run: Run, conf: Plan['conf']): Run {
  const { site } = run;
  const asItIs: Site = {
    home: site.home,
    current: conf,
    keyFiles: site.keyFiles,
    rc: (env) => site.rc(env),
    conf: () => Promise.resolve(conf),
    compile: (other) => site.compile(other),
    repository: (rc, name) => site.repository(rc, name),
    physical: (rc, how) => site.physical(rc, how),
  };
  return { ...run, site: asItIs };
}

async function undo(run: Run, call: AdoptCall, options: Options): Promise<number> {
  const manifest = readManifest(run.rc);
  if (manifest === undefined) {
    call.stderr.write(`gatehouse: the site of ${run.rc.home} was not taken over, or that was undone\n`);
    return EXIT_FAILED;
  }
  const done = [...(await undoAdoption(run, manifest))];
  const old = await findOldGitolite(run, manifest.oldShell === undefined ? [] : [manifest.oldShell]);
  if (old === undefined)
    done.push("gitolite was not found: run 'gitolite setup' where it is, so that it reads the conf again");
  else {
    // What was pushed meanwhile, it has not compiled.
    for (const args of [['compile'], ['trigger', 'POST_COMPILE']]) {
      const { code, stderr } = await askOld(run, old, { args, logs: true });
      done.push(`gitolite ${args.join(' ')}: ${code === 0 ? 'done' : `failed: ${stderr.trim()}`}`);
    }
  }
  return tell(run, { options, json: { undone: done }, text: done.map((line) => `${line}\n`).join(''), code: 0 });
}
