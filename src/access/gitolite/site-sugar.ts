/** Rewritings that a site switches on: continuation lines, groups from directories of keys, macros, refex expressions. */
import { cleanLine, MASTER, type ConfLine } from './conf-line.ts';
import { CONF_ENTRY } from './conf-lines.ts';
import type { ConfProblems } from './conf-problem.ts';
import { SUGARS, type ConfSettings } from './conf-settings.ts';
import { isTrue } from './words.ts';

const EXPANDED_CHARS_MAX = 32 * 1024 * 1024;

export function addSiteSugar(
  lines: readonly ConfLine[],
  settings: ConfSettings,
  problems: ConfProblems,
): readonly ConfLine[] {
  let sweet = lines;
  for (const sugar of SUGARS.filter((one) => settings.sugar.includes(one))) {
    switch (sugar) {
      case 'continuation-lines':
        sweet = joinContinued(sweet);
        break;
      case 'keysubdirs-as-groups':
        sweet = [...keyGroupLines(settings.keyGroups), ...sweet];
        break;
      case 'macros':
        sweet = expandMacros(sweet, problems);
        break;
      case 'refex-expr':
        sweet = nameRefexExpressions(sweet);
        break;
      default:
        sugar satisfies never;
    }
    sweet = sweet.map((line) => ({ ...line, text: cleanLine(line.text) })).filter(({ text }) => text !== '');
  }
  return sweet;
}

/** A joined line stands where its first part stands. One that never ends is lost, as in gitolite. */
function joinContinued(lines: readonly ConfLine[]): ConfLine[] {
  const joined: ConfLine[] = [];
  let first: ConfLine | undefined;
  let kept: string[] = [];
  for (const line of lines) {
    if (line.text.endsWith('\\')) {
      first ??= line;
      kept.push(line.text.slice(0, -1));
      continue;
    }
    joined.push(first === undefined ? line : { ...first, text: [...kept, line.text].join('') });
    first = undefined;
    kept = [];
  }
  return joined;
}

function keyGroupLines(groups: ReadonlyMap<string, readonly string[]>): ConfLine[] {
  return [...groups]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([group, users]) => ({
      text: `@${group} = ${users.join(' ')}`,
      file: CONF_ENTRY,
      line: 0,
      subconf: MASTER,
    }));
}

interface Macro {
  /** What stands behind the name, then the lines up to `end`. */
  readonly head: string;
  readonly body: readonly ConfLine[];
}

/** Definitions first, wherever they stand; then each use once, without a second round. */
function expandMacros(lines: readonly ConfLine[], problems: ConfProblems): ConfLine[] {
  const macros = new Map<string, Macro>();
  const rest: ConfLine[] = [];
  const ends = nextEnds(lines);
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    if (line === undefined) break;
    const [all = '', name] = /^macro (\w+)\b/.exec(line.text) ?? [];
    const end = name === undefined ? -1 : (ends[at] ?? -1);
    const last = lines[end];
    if (name === undefined || last === undefined) {
      rest.push(line);
      continue;
    }
    macros.set(name, { head: line.text.slice(all.length), body: lines.slice(at + 1, end) });
    rest.push({ ...last, text: last.text.slice('end'.length) });
    at = end;
  }
  let chars = 0;
  return rest.flatMap((line) => {
    const [word] = /^\w+/.exec(line.text) ?? [];
    const macro = word === undefined ? undefined : macros.get(word);
    if (macro === undefined) return [line];
    const expanded = expandMacro(macro, line, problems);
    chars = expanded.reduce((sum, { text }) => sum + text.length, chars);
    if (chars <= EXPANDED_CHARS_MAX) return expanded;
    problems.die(line, 'the macros grow too large');
    return [];
  });
}

/** For each line the nearest one behind it that starts with `end`; -1: none. */
function nextEnds(lines: readonly ConfLine[]): Int32Array {
  const ends = new Int32Array(lines.length).fill(-1);
  for (let at = lines.length - 2; at >= 0; at -= 1)
    ends[at] = lines[at + 1]?.text.startsWith('end') === true ? at + 1 : (ends[at + 1] ?? -1);
  return ends;
}

function expandMacro({ head, body }: Macro, use: ConfLine, problems: ConfProblems): ConfLine[] {
  const words = shellWords(use.text);
  if (words === undefined) {
    problems.die(use, 'a quote does not end');
    return [];
  }
  const [word = '', ...args] = words;
  const fill = (text: string): string =>
    text.replaceAll(/%(\d+)/g, (_all, number: string) => {
      // Perl counts from the end here: %0 is the last one.
      const value = args.at(Number(number) - 1) ?? '';
      if (!isTrue(value)) problems.die(use, `macro '${word}' needs ${number} arguments at '${use.text}'`);
      return value;
    });
  return [{ ...use, text: fill(head) }, ...body.map((line) => ({ ...line, text: fill(line.text) }))];
}

/** Words as a shell splits them: quotes hold blanks, a backslash the next character. Undefined: a quote is open. */
function shellWords(text: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < text.length; at += 1) {
    const c = text.charAt(at);
    if (c === ' ') {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (c === '"' || c === "'") {
      const end = quoteEnd(text, at);
      if (end === -1) return undefined;
      const inside = text.slice(at + 1, end);
      word = (word ?? '') + (c === '"' ? inside.replaceAll(/\\(.)/gs, '$1') : inside);
      at = end;
    } else if (c === '\\') {
      at += 1;
      word = (word ?? '') + text.charAt(at);
    } else word = (word ?? '') + c;
  }
  if (word !== undefined) words.push(word);
  return words;
}

function quoteEnd(text: string, start: number): number {
  const quote = text.charAt(start);
  for (let at = start + 1; at < text.length; at += 1) {
    if (text.charAt(at) === quote) return at;
    if (quote === '"' && text.charAt(at) === '\\') at += 1;
  }
  return -1;
}

const REFEX_RULE = /^(-|R|RW\+?C?D?M?) ([^ ].*) = ([^ ].*)$/s;
const OPERATOR = / (?:and|not|or|xor|\+|-|==|-lt|-gt|-eq|-le|-ge|-ne) /;

/** `RW a and b = u` becomes an option that holds the expression and a rule about its outcome. */
function nameRefexExpressions(lines: readonly ConfLine[]): ConfLine[] {
  let count = 0;
  return lines.flatMap((line) => {
    const [, permission, refexes, users] = REFEX_RULE.exec(line.text) ?? [];
    if (refexes === undefined || !OPERATOR.test(refexes)) return [line];
    count += 1;
    return [
      { ...line, text: `option refex-expr.sugar${count} = ${refexes}` },
      { ...line, text: `${permission} VREF/refex-expr/sugar${count} = ${users}` },
    ];
  });
}
