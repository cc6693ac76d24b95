/** The conf's own shorthands written out: options that suffixes imply, `desc` and its like, NAME/, role names, blocks to skip. */
import { cleanLine, type ConfLine } from './conf-line.ts';
import type { ConfProblems } from './conf-problem.ts';
import { RULE_LINE, wordsOf } from './words.ts';

/** Nothing is written to repositories here: who compiles a site does that, and passes over this warning. */
export const TEMPLATES_IGNORED = 'template data is not applied';

interface PlainText {
  readonly text: string;
  readonly options: readonly string[];
}

export class PlainWriter {
  readonly #roles: ReadonlySet<string>;
  readonly #problems: ConfProblems;
  /** A conf says the same of many repositories: each text is written out once. */
  readonly #known = new Map<string, PlainText>();
  /** In a block that is skipped. */
  #isInside = false;

  constructor(roles: ReadonlySet<string>, problems: ConfProblems) {
    this.#roles = roles;
    this.#problems = problems;
  }

  get isInside(): boolean {
    return this.#isInside;
  }

  /**
   * @param lines from one `repo` line, or the start of the conf, to before the next. The order of the steps matters: what
   * a later one makes is not seen by an earlier one.
   */
  write(lines: readonly ConfLine[]): readonly ConfLine[] {
    const written = this.#plain(lines);
    return this.#isInside || written.some(({ text }) => text.startsWith('=')) ? this.#dropBlocks(written) : written;
  }

  /** The first rule below a `repo` line with a suffix such as D makes the repositories of that line strict about it. */
  #plain(lines: readonly ConfLine[]): readonly ConfLine[] {
    const seen = new Set<string>();
    return lines.flatMap((line) => {
      if (line.text.startsWith('repo ')) {
        seen.clear();
        const text = optionToConfig(line.text);
        return [text === line.text ? line : { ...line, text }];
      }
      const { text, options } = this.#plainTextOf(line.text);
      const plain = text === line.text ? line : { ...line, text };
      const more = options.filter((option) => !seen.has(option));
      for (const option of more) seen.add(option);
      return more.length === 0 ? [plain] : [plain, ...more.map((option) => ({ ...line, text: option }))];
    });
  }

  #plainTextOf(text: string): PlainText {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const plain = {
      text: prefixRoles(qualifyNames(describe(optionToConfig(text))), this.#roles),
      options: impliedOptions(text),
    };
    this.#known.set(text, plain);
    return plain;
  }

  #dropBlocks(lines: readonly ConfLine[]): readonly ConfLine[] {
    return lines.filter((line) => {
      if (!this.#isInside && /^= *begin (?:testconf|template-data)$/.test(line.text)) {
        this.#isInside = true;
        if (line.text.endsWith('template-data')) this.#problems.warn(line, TEMPLATES_IGNORED);
        return false;
      }
      if (!this.#isInside) return true;
      if (/^= *end$/.test(line.text)) this.#isInside = false;
      return false;
    });
  }
}

const SUFFIX_OPTIONS = [
  ['DELETE_IS_D', /D/],
  ['CREATE_IS_C', /RW.*C/],
  ['MERGE_CHECK', /M/],
] as const;

/** Lines that the suffixes of a rule stand for. */
function impliedOptions(text: string): readonly string[] {
  const permission = RULE_LINE.exec(text)?.[1];
  if (permission === undefined) return [];
  return SUFFIX_OPTIONS.filter(([, suffix]) => suffix.test(permission)).map(([name]) =>
    optionToConfig(`option ${name} = 1`),
  );
}

function optionToConfig(text: string): string {
  const current = text.replace('option mirror.slaves', 'option mirror.copies');
  return current.replace(/^option ([^ ]+) = (?=[^ ])/, 'config gitolite-options.$1 = ');
}

const GITWEB = { desc: 'description', owner: 'owner', category: 'category' } as const;

function describe(text: string): string {
  return text.replace(
    /^(desc|owner|category) = (?=[^ ])/,
    (_all, word: keyof typeof GITWEB) => `config gitweb.${GITWEB[word]} = `,
  );
}

function qualifyNames(text: string): string {
  return /^(?:-|R[^ ]+) [^ ].* = [^ ]/s.test(text) ? text.replaceAll(' NAME/', ' VREF/NAME/') : text;
}

function prefixRoles(text: string, roles: ReadonlySet<string>): string {
  const [, permission, refexes = '', users] = RULE_LINE.exec(text) ?? [];
  if (permission === undefined || users === undefined) return text;
  const named = wordsOf(users).map((user) => (user === 'CREATOR' || roles.has(user) ? `@${user}` : user));
  return cleanLine(`${permission} ${refexes} = ${named.join(' ')}`);
}
