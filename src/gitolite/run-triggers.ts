/** What the settings list for a trigger point, one after another: the site's own programs first by name, then the built-ins. */
import { join } from 'node:path';
import { statOf } from './disk.ts';
import { glWarn } from './gl-log.ts';
import { withOptions } from './options.ts';
import { findProgram, runProgram } from './programs.ts';
import { isHash, listOf, wordsOf } from './rc-value.ts';
import { type Run, withEnv } from './run.ts';
import { TRIGGER_POINTS, type TriggerPoint } from './rc.ts';
import { BUILT_IN_TRIGGERS } from './triggers/all.ts';
import type { BuiltInTrigger, TriggerEffect } from './triggers/trigger.ts';
import { dies, ends } from './words.ts';

const CONF = 'conf/gitolite.conf';

/** The caller of `gitolite-shell`, as INPUT triggers may rewrite it. */
export interface Input {
  readonly user: string;
  /** SSH_ORIGINAL_COMMAND. */
  readonly command: string;
}

export type InputEnd =
  | ({ readonly kind: 'go'; readonly run: Run } & Input)
  | { readonly kind: 'exit'; readonly code: number };

/**
 * Runs a point. The run that comes back has in its environment what the built-ins put there.
 * @throws `dies` or `ends` where one of them ends the invocation.
 */
export async function trigger(run: Run, point: TriggerPoint, args: readonly string[]): Promise<Run> {
  return triggerNamed(run, point, args);
}

/** As `trigger`, of any list in the settings: `gitolite trigger NAME`. */
export async function triggerNamed(run: Run, point: string, args: readonly string[]): Promise<Run> {
  let current = await withOptionsOf(run, args[0] ?? '');
  for (const line of linesOf(run, point)) {
    const effect = await runLine(current, { line, point, args });
    if (effect?.env !== undefined) current = withEnv(current, effect.env);
  }
  return current;
}

/** The INPUT point, whose triggers may change who asks and for what, or answer themselves. */
export async function inputTriggers(run: Run, { user, command }: Input): Promise<InputEnd> {
  let input: Input = { user, command };
  let current = run;
  for (const line of linesOf(run, 'INPUT')) {
    const asked = withEnv(current, { SSH_ORIGINAL_COMMAND: input.command });
    const effect = await runLine(asked, { line, point: 'INPUT', args: [], input });
    if (effect === undefined) continue;
    if (effect.exit !== undefined) return { kind: 'exit', code: effect.exit };
    input = { user: effect.user ?? input.user, command: effect.command ?? input.command };
    if (effect.env !== undefined) current = withEnv(current, effect.env);
  }
  return { kind: 'go', run: current, ...input };
}

/** One step by its name, as a program of that name would be called. False: there is none. */
export async function runStep(run: Run, name: string, args: readonly string[]): Promise<boolean> {
  const program = await findProgram(run.rc, 'triggers', name);
  if (program !== undefined) {
    const { code } = await runProgram(run, { file: program, args, stdin: 'inherit' });
    if (code !== 0) throw ends(code);
    return true;
  }
  const builtIn = BUILT_IN_TRIGGERS.get(name);
  if (builtIn === undefined) return false;
  const at = args.findIndex(isTriggerPoint);
  const own = at === -1 ? args : args.slice(0, at);
  await builtIn.run(run, { point: args.find(isTriggerPoint), own, args: args.slice(own.length + 1) });
  return true;
}

function linesOf(run: Run, point: string): readonly string[] {
  const value = run.rc.values[point];
  if (value === undefined) return [];
  if (typeof value === 'string' || isHash(value)) throw dies(`'${point}' section in rc file is not a perl list`);
  return listOf(value).filter((line) => typeof line === 'string');
}

/** A point's first argument is a repository. Before there is a conf, none has options. */
async function withOptionsOf(run: Run, repository: string): Promise<Run> {
  if (repository === '' || statOf(join(run.rc.adminBase, CONF)) === undefined) return run;
  return withOptions(run, repository);
}

interface Line {
  readonly line: string;
  readonly point: string;
  readonly args: readonly string[];
  readonly input?: Input;
}

async function runLine(run: Run, { line, point, args, input }: Line): Promise<TriggerEffect | undefined> {
  const [name = '', ...own] = wordsOf(line);
  const isModule = /::\w+$/.test(name);
  const program = isModule ? undefined : await findProgram(run.rc, 'triggers', name);
  if (program !== undefined) {
    const { code } = await runProgram(run, { file: program, args: [...own, point, ...args] });
    if (code !== 0) throw ends(code);
    return undefined;
  }
  const builtIn = BUILT_IN_TRIGGERS.get(name);
  if (builtIn !== undefined) return (await runBuiltIn(run, builtIn, { own, point, args, input })) ?? undefined;
  if (isModule)
    throw dies(`module '${name.replace(/::\w+$/, '')}' does not exist or does not have sub '${subOf(name)}'`);
  await glWarn(run, `skipped trigger '${line}' (not found or not executable)`);
  return undefined;
}

interface BuiltInCall {
  readonly own: readonly string[];
  readonly point: string;
  readonly args: readonly string[];
  readonly input: Input | undefined;
}

async function runBuiltIn(
  run: Run,
  builtIn: BuiltInTrigger,
  { own, point, args, input }: BuiltInCall,
): Promise<TriggerEffect | void> {
  const known = isTriggerPoint(point) ? point : undefined;
  return builtIn.run(run, { point: known, own, args: input === undefined ? args : [input.user, input.command] });
}

function isTriggerPoint(point: string): point is TriggerPoint {
  return (TRIGGER_POINTS as readonly string[]).includes(point);
}

function subOf(name: string): string {
  return /\w+$/.exec(name)?.[0] ?? '';
}
