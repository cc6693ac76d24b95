/** One update in front of the virtual refs of its rules: what gitolite's update hook does once the ref itself is allowed. */
import { NAME_REF, type Access } from '../../access/gitolite/conf-access.ts';
import { spellings } from '../../access/gitolite/quoted-path.ts';
import { Fault } from '../../base/fault.ts';
import type { ObjectPlace } from '../../git/objects.ts';
import { isZeroOid, type Oid } from '../../git/oid.ts';
import type { Push, RefUpdate } from '../../receive/step.ts';
import { glLog } from '../gl-log.ts';
import { findProgram, runProgram } from '../programs.ts';
import { trigger } from '../run-triggers.ts';
import type { Run } from '../run.ts';
import { BUILT_IN_VREFS } from '../vref/all.ts';
import { emptyTree, namesBetween } from '../vref/history.ts';
import { partialCopy } from '../vref/partial-copy.ts';
import { Expressions } from '../vref/refex-expr.ts';
import type { VrefAnswer, VrefQuestion } from '../vref/vref.ts';
import { dies } from '../words.ts';
import { askerOf, type Ground } from './ground.ts';
import type { Voice } from './voice.ts';

/** Why an update goes no further. */
export interface Denial {
  /** As behind `FATAL: `, further lines among it. */
  readonly text: string;
  /** The rule that refuses, where one did. */
  readonly rule?: { readonly file: string; readonly line: number };
}

export interface UpdateCheckOptions {
  readonly push: Push;
  readonly update: RefUpdate;
  readonly ground: Ground;
  /** The virtual refs of the user's rules, in order, and the settings of the repository: the same for the whole push. */
  readonly vrefs: readonly string[];
  readonly config: ReadonlyMap<string, string>;
  readonly place: ObjectPlace;
  readonly voice: Voice;
  readonly earlier: readonly Oid[];
  readonly programMs: number;
  readonly isOnline: boolean;
}

/** The trigger that counts refexes for expressions: where the settings do not list it, there are none. */
const COUNTING = 'RefexExpr::access_2';

export class UpdateCheck {
  readonly #options: UpdateCheckOptions;
  readonly #attempt: string;
  readonly #ask: (ref: string) => Access;
  readonly #expressions: Expressions | undefined;
  readonly #oldTree: Oid;
  readonly #newTree: Oid;
  #run: Run | undefined;

  constructor(options: UpdateCheckOptions) {
    const { ground, config, update, push } = options;
    this.#options = options;
    this.#run = ground.run;
    this.#attempt = update.native?.attempt ?? 'W';
    this.#ask = askerOf(ground, this.#attempt);
    const isCounted = ground.run === undefined || isListed(ground.run);
    this.#expressions = isCounted ? new Expressions(config) : undefined;
    const nothing = emptyTree(push.repository.objectFormat);
    this.#oldTree = isZeroOid(update.oldOid) ? nothing : update.oldOid;
    this.#newTree = isZeroOid(update.newOid) ? nothing : update.newOid;
  }

  /** @throws Fault `bad-input` in gitolite's words, and where git or a program fails. */
  async run(): Promise<Denial | undefined> {
    const { update, vrefs } = this.#options;
    const { refname, oldOid, newOid, native } = update;
    const refex = native?.text ?? '';
    await this.#passed(refname, refex, [oldOid, newOid]);
    let isNameSeen = false;
    for (const vref of vrefs) {
      const isName = vref.startsWith(NAME_REF);
      if (isName && isNameSeen) continue;
      isNameSeen ||= isName;
      const denial = isName ? await this.#checkNames() : await this.#checkVref(vref);
      if (denial !== undefined) return denial;
    }
    await this.log('update', refname, oldOid, newOid, refex);
    return undefined;
  }

  async log(what: string, ...fields: readonly string[]): Promise<void> {
    const { push, ground } = this.#options;
    if (this.#run !== undefined)
      await glLog(this.#run, what, push.repository.name, ground.user.name, this.#attempt, ...fields);
  }

  async #checkNames(): Promise<Denial | undefined> {
    for (const path of await namesBetween(this.#options.place, this.#oldTree, this.#newTree)) {
      for (const name of spellings(path)) {
        const denial = await this.#checkRef(`${NAME_REF}${name}`);
        if (denial !== undefined) return denial;
      }
    }
    return undefined;
  }

  async #checkVref(vref: string): Promise<Denial | undefined> {
    const { output = '', said = '', code = 0 } = await this.#answer(vref);
    const { voice } = this.#options;
    if (said !== '') voice.say(said);
    for (const line of output.split(/(?<=\n)/)) {
      if (!line.startsWith('VREF/')) {
        voice.say(line);
        continue;
      }
      const [, ref = '', message] = /^(\S+)(?:\s+(.*))?$/s.exec(line) ?? [];
      const denial = await this.#checkRef(ref, message);
      if (denial !== undefined) return denial;
    }
    voice.end();
    return code === 0 ? undefined : { text: `${vref}: helper program exit status ${code << 8}` };
  }

  /** What falls through is allowed. */
  async #checkRef(ref: string, message?: string): Promise<Denial | undefined> {
    const answer = this.#ask(ref);
    if (answer.kind === 'fatal') return { text: `${answer.text}\n` };
    if (answer.text.includes('by fallthru')) return undefined;
    await this.#passed(ref, answer.text);
    if (answer.kind === 'allowed') return undefined;
    const text = message === undefined || message === '' ? answer.text : `${answer.text}\n${message}`;
    return { text, ...(answer.rule === undefined ? {} : { rule: answer.rule }) };
  }

  /** Whatever a rule answered: the site's triggers are told, and what allowed it counts in expressions. */
  async #passed(ref: string, answer: string, more: readonly string[] = []): Promise<void> {
    const { push, ground } = this.#options;
    if (!answer.includes('DENIED')) this.#expressions?.pass(answer);
    if (this.#run === undefined) return;
    const args = [push.repository.name, ground.user.name, this.#attempt, ref, answer, ...more];
    this.#run = await trigger(this.#run, 'ACCESS_2', args);
  }

  /** The site's own program of that name, else what is built in, else what came with gitolite. */
  async #answer(refex: string): Promise<VrefAnswer> {
    const { update, push, place, earlier, ground } = this.#options;
    const [, name = '', ...args] = refex.replace(/\/+$/, '').split('/');
    const question: VrefQuestion = {
      update,
      format: push.repository.objectFormat,
      oldTree: this.#oldTree,
      newTree: this.#newTree,
      refex,
      args,
      place,
      earlier,
      user: ground.user.name,
      expressions: this.#expressions?.results,
      signal: push.signal,
    };
    const run = this.#run;
    const program = run === undefined ? undefined : await findProgram(run.rc, 'VREF', name);
    const isOwn = program !== undefined && program.startsWith(`${run?.rc.localCode ?? '\0'}/`);
    const builtIn = BUILT_IN_VREFS.get(name);
    if (builtIn !== undefined && !isOwn) return builtIn(question);
    if (name === 'partial-copy' && !isOwn && run !== undefined) return partialCopy(run, question);
    if (run === undefined || program === undefined) throw dies(`'${refex}': helper program missing or unexecutable`);
    return this.#runProgram(run, program, question);
  }

  async #runProgram(run: Run, file: string, { refex, args }: VrefQuestion): Promise<VrefAnswer> {
    const { update, push, programMs, isOnline } = this.#options;
    const { refname, oldOid, newOid } = update;
    const expressions = [...(this.#expressions?.results ?? [])].map(([rule, result]) => [
      `GL_REFEX_EXPR_${rule}`,
      result,
    ]);
    const env: Record<string, string> = Object.fromEntries(expressions);
    // git then refuses to move a ref to what may yet be thrown away.
    if (push.objectDirectory !== undefined) env['GIT_QUARANTINE_PATH'] = push.objectDirectory;
    const given = [refname, oldOid, newOid, this.#oldTree, this.#newTree, this.#attempt, refex, ...args];
    try {
      const spec = {
        file,
        args: given,
        env,
        stdout: 'collect',
        confined: true,
        isOffline: !isOnline,
        timeoutMs: programMs,
      } as const;
      const { code, stdout } = await runProgram(run, spec);
      return { output: stdout, code };
    } catch (error) {
      // `busy`: the program has ended, but there is no place for what comes then.
      if (!(error instanceof Fault) || error.code === 'aborted' || error.code === 'busy') throw error;
      const why = error.code === 'timeout' ? `took longer than ${programMs / 1000} s` : error.message;
      throw dies(`${refex}: helper program ${why}`, error);
    }
  }
}

function isListed({ rc }: Run): boolean {
  return (rc.triggers.get('ACCESS_2') ?? []).includes(COUNTING);
}
