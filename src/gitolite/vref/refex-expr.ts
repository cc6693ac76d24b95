/**
 * Refex expressions: `- master and VREF/NAME/Makefile = u3`. The refexes that allowed something during an update are
 * counted, and an expression over these counts is a virtual ref of its own.
 */
import { dies } from '../words.ts';
import type { Vref } from './vref.ts';

const OPTION = 'gitolite-options.refex-expr.';

/** The expressions of a repository, while one update is checked. */
export class Expressions {
  readonly #rules: readonly (readonly [string, string])[];
  readonly #passed = new Map<string, number>();
  readonly #results = new Map<string, string>();

  /** @param config of the repository. */
  constructor(config: ReadonlyMap<string, string>) {
    this.#rules = [...config]
      .filter(([key]) => key.startsWith(OPTION))
      .map(([key, rule]) => [key.slice(OPTION.length), rule] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** By rule; empty where it is not true. Rules are there once something passed. */
  get results(): ReadonlyMap<string, string> {
    return this.#results;
  }

  /** A refex allowed something. @throws `dies` where a rule is no expression. */
  pass(refex: string): void {
    if (this.#rules.length === 0) return;
    this.#passed.set(refex, (this.#passed.get(refex) ?? 0) + 1);
    for (const [name, rule] of this.#rules) this.#results.set(name, this.#evaluate(rule));
  }

  #evaluate(rule: string): string {
    const words = rule.split(/\s+/).filter((word) => word !== '');
    const plain = words.map((word) => this.#meaningOf(word));
    const text = plain.join(' ');
    return valueOf(plain) === 0 ? '' : `'${rule}' -> '${text}'`;
  }

  #meaningOf(word: string): string {
    if (/^-?\d+$/.test(word)) return word;
    const count = this.#passed.get(word) ?? this.#passed.get(`refs/heads/${word}`) ?? 0;
    return OPERATORS.get(word) ?? String(count);
  }
}

const OPERATORS: ReadonlyMap<string, string> = new Map([
  ...['not', 'and', 'or', 'xor', '+', '-', '=='].map((word) => [word, word] as const),
  ['-lt', '<'],
  ['-gt', '>'],
  ['-eq', '=='],
  ['-le', '<='],
  ['-ge', '>='],
  ['-ne', '!='],
]);

/** Binary operators, the loosest first, as Perl binds them. `not` stands between `and` and the comparisons. */
const LEVELS: readonly (readonly string[])[] = [
  ['or', 'xor'],
  ['and'],
  ['not'],
  ['==', '!='],
  ['<', '>', '<=', '>='],
  ['+', '-'],
];

const APPLY: Readonly<Record<string, (a: number, b: number) => number>> = {
  or: (a, b) => (a === 0 ? b : a),
  xor: (a, b) => Number((a === 0) !== (b === 0)),
  and: (a, b) => (a === 0 ? a : b),
  '==': (a, b) => Number(a === b),
  '!=': (a, b) => Number(a !== b),
  '<': (a, b) => Number(a < b),
  '>': (a, b) => Number(a > b),
  '<=': (a, b) => Number(a <= b),
  '>=': (a, b) => Number(a >= b),
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
};

/** @throws `dies` */
export function valueOf(words: readonly string[]): number {
  let at = 0;
  const wrong = (): Error => dies(`eval '${words.join(' ')}' -> 'syntax error'`);
  const level = (depth: number): number => {
    const operators = LEVELS[depth];
    if (operators === undefined) return operand();
    if (operators[0] === 'not') {
      if (words[at] !== 'not') return level(depth + 1);
      at += 1;
      return Number(level(depth) === 0);
    }
    let value = level(depth + 1);
    for (let word = words[at]; word !== undefined && operators.includes(word); word = words[at]) {
      at += 1;
      value = APPLY[word]?.(value, level(depth + 1)) ?? value;
    }
    return value;
  };
  const operand = (): number => {
    const word = words[at];
    at += 1;
    if (word === '-' || word === '+') return word === '-' ? -operand() : operand();
    if (word === undefined || !/^-?\d+$/.test(word)) throw wrong();
    return Number(word);
  };
  const value = level(0);
  if (at < words.length) throw wrong();
  return value;
}

export const REFEX_EXPR: Vref = ({ refex, args: [rule = ''], expressions }) => {
  const result = expressions?.get(rule);
  if (result !== undefined) return Promise.resolve(result === '' ? {} : { output: `${refex} (${result})\n` });
  const said =
    "\n\nFATAL: GL_REFEX_EXPR_ doesn't exist\n(your admin probably forgot the rc file change needed for this to work)\n\n";
  return Promise.resolve({ said, code: 255 });
};
