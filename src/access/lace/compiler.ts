/**
 * Lace text to a program. Includes are loaded and compiled whatever their conditions, names are checked
 * against the lines before, and the default is settled once, at the end of the top source.
 */
import { compileCommand, type LineCompiler } from './commands.ts';
import { linesOf, offsetWords, type LaceError, type Words } from './error.ts';
import {
  wrong,
  type Host,
  type LaceCommand,
  type Program,
  type ResultRule,
  type Rule,
  type Wrong,
  LACE_COMMANDS,
} from './language.ts';
import { lexRuleset, type LexedSource, type SubToken, type Token } from './lexer.ts';
import { LACE_LIMITS, type LaceLimits } from './limits.ts';

export type Compiled<C> =
  | { readonly kind: 'ok'; readonly program: Program<C> }
  | { readonly kind: 'wrong'; readonly error: LaceError };

export interface CompileOptions {
  /** The text of the top source; absent: the host loads it by its name. */
  readonly text?: string;
  readonly limits?: Partial<LaceLimits>;
  /** Compile as if included: no default is added and `default` is refused. For rules within rules. */
  readonly asIncluded?: boolean;
}

export function compileLace<C>(host: Host<C>, name: string, options: CompileOptions = {}): Compiled<C> {
  const limits = { ...LACE_LIMITS, ...options.limits };
  return new Compilation(host, limits, options.asIncluded ?? false).run(name, options.text);
}

/** A compile error on its way up: of this line, or of what this line includes. */
export type LineWrong = Wrong & {
  readonly inner?: { readonly error: LaceError; readonly name: string };
  /** The exact columns, where the words point elsewhere. */
  readonly exact?: readonly [number, number];
};

type Args<C> =
  | { readonly kind: 'ok'; readonly rules: readonly Rule<C>[]; readonly args: readonly string[] }
  | LineWrong;

type FileResult<C> =
  | { readonly kind: 'ok'; readonly rules: Rule<C>[] }
  | { readonly kind: 'wrong'; readonly error: LaceError };

/** What an `allow` or `deny` of the file being compiled left behind. */
interface FileState {
  hasUnconditional: boolean;
  last: 'allow' | 'deny' | undefined;
}

class Compilation<C> implements LineCompiler<C> {
  readonly host: Host<C>;
  readonly limits: LaceLimits;
  /** Deepest nesting of each defined name. */
  readonly defined = new Map<string, number>();
  source: LexedSource = { name: '', lines: [] };
  line = 0;
  file: FileState = { hasUnconditional: false, last: undefined };
  default: ResultRule | undefined;
  readonly #isDefaultFixed: boolean;
  readonly #slots = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #warnings: { source: LexedSource; line: number; message: string }[] = [];
  readonly #open: string[] = [];
  #anonymous = 0;
  #includes = 0;
  #chars = 0;
  #rules = 0;

  constructor(host: Host<C>, limits: LaceLimits, isDefaultFixed: boolean) {
    this.host = host;
    this.limits = limits;
    this.#isDefaultFixed = isDefaultFixed;
  }

  get isDefaultSet(): boolean {
    return this.#isDefaultFixed || this.default !== undefined;
  }

  run(name: string, text: string | undefined): Compiled<C> {
    this.source = lexRuleset(`include ${name}`, `Implicit inclusion of ${name}`);
    this.line = 1;
    const loaded = text === undefined ? this.host.load(name) : ({ kind: 'text', name, text } as const);
    if (loaded.kind !== 'text') {
      const message = loaded.kind === 'missing' ? loaded.message : `${name} cannot stand at the top`;
      return { kind: 'wrong', error: this.#errorHere(wrong(message, [2])) };
    }
    const compiled = this.compileFile(loaded.name, loaded.text);
    if (compiled.kind === 'wrong') return compiled;
    const { rules } = compiled;
    if (!this.#isDefaultFixed) {
      const settled = this.#settleDefault(rules);
      if (settled !== undefined) return { kind: 'wrong', error: settled };
    }
    return { kind: 'ok', program: { rules, names: this.#names, warnings: this.#warnings } };
  }

  /** @param text of a source called `name`; leaves `source`, `line` and `file` at the end of a top source. */
  compileFile(name: string, text: string): FileResult<C> {
    const refusal = this.#enter(name, text);
    if (refusal !== undefined) return { kind: 'wrong', error: this.#errorHere(refusal) };
    this.source = lexRuleset(text, name);
    this.file = { hasUnconditional: false, last: undefined };
    const rules: Rule<C>[] = [];
    for (const [index, line] of this.source.lines.entries()) {
      this.line = index + 1;
      for (const message of line.warnings) this.#warnings.push({ source: this.source, line: this.line, message });
      if (line.kind !== 'rule') continue;
      const refused = line.tooDeep
        ? wrong(`Brackets nest deeper than ${this.limits.bracketDepthMax}`, [1])
        : this.#compileLine(line.tokens, rules);
      if (refused !== undefined) return { kind: 'wrong', error: this.#errorHere(refused) };
    }
    this.#open.pop();
    return { kind: 'ok', rules };
  }

  /** Compiles an included source and comes back to this line. */
  include(name: string, text: string): FileResult<C> {
    const { source, line, file } = this;
    const compiled = this.compileFile(name, text);
    this.source = source;
    this.line = line;
    this.file = file;
    return compiled;
  }

  slotOf(name: string): number {
    const known = this.#slots.get(name);
    if (known !== undefined) return known;
    const slot = this.#names.push(name) - 1;
    this.#slots.set(name, slot);
    return slot;
  }

  #enter(name: string, text: string): LineWrong | undefined {
    this.#includes += 1;
    this.#chars += text.length;
    if (this.#open.includes(name)) return wrong(`Circular inclusion of ${name}`, [2]);
    if (this.#open.length > this.limits.includeDepthMax) {
      return wrong(`Includes nest deeper than ${this.limits.includeDepthMax}`, [2]);
    }
    if (this.#includes > this.limits.includesMax) return wrong(`More than ${this.limits.includesMax} includes`, [2]);
    if (this.#chars > this.limits.sourceCharsMax) {
      return wrong(`More than ${this.limits.sourceCharsMax} characters of rules`, [2]);
    }
    this.#open.push(name);
    return undefined;
  }

  #compileLine(tokens: readonly Token[], rules: Rule<C>[]): LineWrong | undefined {
    const [command] = tokens;
    const word = command !== undefined && 'text' in command ? command.text : '[';
    const known = command !== undefined && 'text' in command ? this.#command(word) : undefined;
    if (known === undefined) return wrong(`Unknown command: ${word}`, [1]);
    const taken = this.#takeSubs(tokens, 0);
    if (taken.kind === 'wrong') return taken;
    if (known === 'disabled') return wrong('Command is disabled by context', []);
    this.#rules += 1 + taken.rules.length;
    if (this.#rules > this.limits.rulesMax) return wrong(`More than ${this.limits.rulesMax} rules`, [1]);
    const made = compileCommand(this, known, taken.args);
    if (made.kind === 'wrong') return made;
    rules.push(...taken.rules, ...made.rules);
    return undefined;
  }

  #command(word: string): LaceCommand | 'disabled' | undefined {
    return this.host.command?.(word) ?? LACE_COMMANDS.find((name) => name === word);
  }

  /** Each bracket becomes an anonymous definition placed before the line; its name takes its place. */
  #takeSubs(tokens: readonly Token[], column: number): Args<C> {
    const rules: Rule<C>[] = [];
    const args: string[] = [];
    for (const [index, token] of tokens.entries()) {
      if ('text' in token) {
        args.push(token.text);
        continue;
      }
      const taken = this.#takeSub(token, column, index + 1);
      if (taken.kind === 'wrong') return taken;
      rules.push(...taken.rules);
      args.push(...taken.args);
    }
    return { kind: 'ok', rules, args };
  }

  #takeSub(token: SubToken, column: number, nr: number): Args<C> {
    this.#anonymous += 1;
    const name = `__autodef${this.#anonymous}`;
    const exact: readonly [number, number] = [column + token.first, column + token.last];
    const written = this.source.lines[this.line - 1]?.text.slice(exact[0] - 1, exact[1]) ?? '';
    const bracket = column + token.first + Math.max(0, written.indexOf('['));
    const inner = this.#takeSubs(token.sub, bracket);
    if (inner.kind === 'wrong') return inner;
    const command = this.#command('define');
    const made =
      command === 'define'
        ? compileCommand(this, 'define', ['define', name, ...inner.args], { isAnonymous: true })
        : wrong('Command is disabled by context', []);
    // The whole bracket is marked; its number counts within the list around it, as in Lace 1.4.
    if (made.kind === 'wrong') return { ...made, words: [nr], exact };
    this.#names[this.slotOf(name)] = written.slice(written.indexOf('['));
    return { kind: 'ok', rules: [...inner.rules, ...made.rules], args: [token.prefix + name] };
  }

  /** @returns the error where the source decides nothing at all. */
  #settleDefault(rules: Rule<C>[]): LaceError | undefined {
    if (this.file.hasUnconditional) return undefined;
    const { last } = this.file;
    if (this.default !== undefined) {
      rules.push(this.default);
    } else if (last === undefined) {
      this.line = this.source.lines.length + 1;
      return this.#errorHere(wrong('No result set whatsoever', []));
    } else {
      const result = last === 'allow' ? 'deny' : 'allow';
      const { source, line } = this;
      rules.push({
        kind: 'result',
        result,
        reason: 'Default behaviour',
        conditions: [],
        isDefault: true,
        source,
        line,
      });
    }
    return undefined;
  }

  #errorHere(refused: LineWrong): LaceError {
    const words: Words = { ...offsetWords({ list: refused.words }, 0), source: this.source, line: this.line };
    if (refused.inner !== undefined) {
      const { error, name } = refused.inner;
      return { ...error, frames: [...error.frames, { words, including: name }] };
    }
    const [shown] = linesOf(words);
    const text = shown?.text ?? '';
    const marked = refused.exact === undefined ? (shown?.marked ?? []) : [refused.exact];
    const place = { source: this.source.name, line: this.line, text, marked };
    return { message: refused.message, frames: [{ words }], place };
  }
}
