/** What both dialects of regular expressions are made of: assertions, line breaks, and repetition that gives nothing back. */
import { CLASSES, inverse, range, single, union, type CharSet } from './char-set.ts';
import type { AssertNode, Node } from './nfa.ts';

const NEWLINE = single(10);
export const NOT_NEWLINE = inverse(NEWLINE);

/** Blanks beyond ASCII: in bytes only the first can be there. */
const BLANK = union([
  CLASSES.blank,
  single(0xa0),
  single(0x16_80),
  single(0x18_0e),
  range(0x20_00, 0x20_0a),
  single(0x20_2f),
  single(0x20_5f),
  single(0x30_00),
]);
const LINE_BREAK = union([range(10, 13), single(0x85), range(0x20_28, 0x20_29)]);

/** `\d` and the like; their capitals are what they leave out. */
export const SHORTHANDS: ReadonlyMap<string, CharSet> = new Map<string, CharSet>([
  ['d', CLASSES.digit],
  ['w', CLASSES.word],
  ['s', CLASSES.space],
  ['h', BLANK],
  ['v', LINE_BREAK],
]);

type Holds = AssertNode['holds'];

const isWordAt = (text: string, index: number): boolean =>
  index >= 0 && index < text.length && CLASSES.word(text.charCodeAt(index));
const atWordEdge: Holds = (text, index) => isWordAt(text, index - 1) !== isWordAt(text, index);

export const TEXT_START: Node = { kind: 'assert', holds: (_text, index) => index === 0, isStart: true };
const TEXT_END: Node = { kind: 'assert', holds: (text, index) => index === text.length, isEnd: true };
/** `$` and `\Z`: a newline may follow, if it is the last character. */
export const LAST_LINE_END: Node = {
  kind: 'assert',
  holds: (text, index) => index === text.length || (index === text.length - 1 && text.endsWith('\n')),
  isEnd: true,
};
/** Behind a newline that ends the text no line starts. */
export const LINE_START: Node = {
  kind: 'assert',
  holds: (text, index) => index === 0 || (index < text.length && text.charAt(index - 1) === '\n'),
};
export const LINE_END: Node = {
  kind: 'assert',
  holds: (text, index) => index === text.length || text.charAt(index) === '\n',
};

/** `\G` stands where a search goes on: here every search is the first. */
export const ASSERTIONS: ReadonlyMap<string, Node> = new Map<string, Node>([
  ['A', TEXT_START],
  ['G', TEXT_START],
  ['z', TEXT_END],
  ['Z', LAST_LINE_END],
  ['b', { kind: 'assert', holds: atWordEdge }],
  ['B', { kind: 'assert', holds: (text, index) => !atWordEdge(text, index) }],
]);

export const EMPTY: Node = { kind: 'sequence', nodes: [] };
export const NEVER: Node = { kind: 'set', has: () => false };

/** `\R`: a carriage return with a newline behind it is not taken apart. */
export const ANY_LINE_BREAK: Node = {
  kind: 'choice',
  nodes: [
    { kind: 'set', has: (code) => code !== 13 && LINE_BREAK(code) },
    {
      kind: 'sequence',
      nodes: [
        { kind: 'set', has: single(13) },
        {
          kind: 'choice',
          nodes: [
            { kind: 'set', has: NEWLINE },
            { kind: 'assert', holds: (text, index) => text.charAt(index) !== '\n' },
          ],
        },
      ],
    },
  ],
};

export interface Counts {
  readonly min: number;
  readonly max: number;
}

/**
 * As many as there are: either `max` of them, or fewer and then none follows.
 * @returns undefined where that takes more than a look at the next character.
 */
export function possessive(node: Node, { min, max }: Counts): Node | undefined {
  // Once or more is refused: Perl 5.36 takes `^++b` to match "ab".
  if (isEmpty(node)) return min === 0 ? EMPTY : undefined;
  const has = oneCharacter(node);
  if (has === undefined) return undefined;
  const one: Node = { kind: 'set', has };
  if (min === max) return { kind: 'repeat', node: one, min, max };
  const noneFollows: Node = {
    kind: 'assert',
    holds: (text, index) => index >= text.length || !has(text.charCodeAt(index)),
  };
  if (max === Infinity) return { kind: 'sequence', nodes: [{ kind: 'repeat', node: one, min, max }, noneFollows] };
  const fewer: Node = { kind: 'sequence', nodes: [{ kind: 'repeat', node: one, min, max: max - 1 }, noneFollows] };
  return { kind: 'choice', nodes: [{ kind: 'repeat', node: one, min: max, max }, fewer] };
}

/** It reads nothing: an assertion, or nothing at all. */
function isEmpty(node: Node): boolean {
  if (node.kind === 'assert') return true;
  return (node.kind === 'sequence' || node.kind === 'choice') && node.nodes.every(isEmpty);
}

/** The characters that a group stands for, if it is always one of them. */
function oneCharacter(node: Node): CharSet | undefined {
  if (node.kind === 'set') return node.has;
  if (node.kind === 'sequence')
    return node.nodes.length === 1 && node.nodes[0] ? oneCharacter(node.nodes[0]) : undefined;
  if (node.kind !== 'choice') return undefined;
  const sets = node.nodes.flatMap((one) => oneCharacter(one) ?? []);
  return sets.length === node.nodes.length ? union(sets) : undefined;
}
