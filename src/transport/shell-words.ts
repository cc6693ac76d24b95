/**
 * The words of a command line as a POSIX shell would cut them, without its expansions: no shell ever sees the
 * line. git quotes paths with '...' and writes a quote or "!" in them as '\'' and '\!'.
 */
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';

/**
 * Words in '...', "..." or bare, with backslash escapes. What a shell would run or redirect (`$`, backquote, `;`,
 * `|`, ...) is refused outside quotes, as are control characters anywhere.
 */
export function parseShellWords(line: string): Parsed<readonly string[]> {
  if (Buffer.byteLength(line) > BOUNDS.commandLineBytesMax) {
    return refuse(`a command line has at most ${BOUNDS.commandLineBytesMax} bytes`);
  }
  if (CONTROL.test(line)) return refuse('a command line holds no control characters');
  const words: string[] = [];
  let at = 0;
  while (at < line.length) {
    const blank = /^[ \t]+/.exec(line.slice(at));
    if (blank !== null) {
      at += blank[0].length;
      continue;
    }
    const word = parseWord(line, at);
    if (word.kind === 'refused') return word;
    if (words.length === BOUNDS.commandWordsMax) return refuse(`a command has at most ${BOUNDS.commandWordsMax} words`);
    words.push(word.value.text);
    at = word.value.end;
  }
  return ok(words);
}

const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f]/;
/**
 * What a shell would act on outside quotes by running or redirecting something; a newline ends a command, so it
 * is here too. Patterns (`*`, `?`) stand for themselves: `ls team/*` means the server's names, not files.
 */
const ACTIVE = /[$`;|&<>()\n]/;

interface Piece {
  readonly text: string;
  /** Index behind it. */
  readonly end: number;
}

function parseWord(line: string, start: number): Parsed<Piece> {
  let text = '';
  let at = start;
  while (at < line.length) {
    const char = line.charAt(at);
    if (char === ' ' || char === '\t') break;
    const piece = parsePiece(line, at, char);
    if (piece.kind === 'refused') return piece;
    text += piece.value.text;
    at = piece.value.end;
  }
  return ok({ text, end: at });
}

function parsePiece(line: string, at: number, char: string): Parsed<Piece> {
  if (char === "'") {
    const end = line.indexOf("'", at + 1);
    return end === -1 ? UNCLOSED : ok({ text: line.slice(at + 1, end), end: end + 1 });
  }
  if (char === '"') return parseDoubleQuoted(line, at + 1);
  if (char === '\\') {
    const next = line.charAt(at + 1);
    return next === '' || next === '\n'
      ? refuse('a command line ends in a backslash')
      : ok({ text: next, end: at + 2 });
  }
  if (ACTIVE.test(char)) return refuse(`there is no shell here: quote the character ${char === '\n' ? '\\n' : char}`);
  return ok({ text: char, end: at + 1 });
}

function parseDoubleQuoted(line: string, start: number): Parsed<Piece> {
  let text = '';
  for (let at = start; at < line.length; at += 1) {
    const char = line.charAt(at);
    if (char === '"') return ok({ text, end: at + 1 });
    const next = line.charAt(at + 1);
    if (char === '$' || char === '`') return refuse(`there is no shell here: write ${char} as \\${char}`);
    if (char === '\\' && '"\\$`'.includes(next) && next !== '') {
      text += next;
      at += 1;
    } else {
      text += char;
    }
  }
  return UNCLOSED;
}

const UNCLOSED = refuse('a quote in the command line is not closed');
