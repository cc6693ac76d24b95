/** The characters of a settings file: blanks, comments, brackets and quotes, as Perl tells them apart. */
import { broken } from './perl-value.ts';

const CLOSERS: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}', '<': '>' };

/** Words that announce quoted text, and how many pieces of it. */
const QUOTING: Readonly<Record<string, 1 | 2 | undefined>> = { q: 1, qq: 1, qw: 1, qr: 1, m: 1, s: 2, tr: 2, y: 2 };

export const HERE_DOCUMENT = /<<(~?)(?:"([^"\n]*)"|'([^'\n]*)'|([A-Za-z_]\w*))/y;

export class PerlText {
  readonly text: string;
  readonly #firstLine: number;
  /** A here-document's lines belong to the line that announces it: from which line end to where. */
  readonly #skips = new Map<number, number>();
  #counted: { readonly at: number; readonly line: number };
  at = 0;

  constructor(text: string, firstLine = 1) {
    this.text = text;
    this.#firstLine = firstLine;
    this.#counted = { at: 0, line: firstLine };
  }

  get line(): number {
    return this.lineAt(this.at);
  }

  get isOver(): boolean {
    return this.at >= this.text.length;
  }

  /** Counted on from where it was asked last: a file is read from its start to its end. */
  lineAt(at: number): number {
    if (at < this.#counted.at) this.#counted = { at: 0, line: this.#firstLine };
    let { line } = this.#counted;
    let index = this.text.indexOf('\n', this.#counted.at);
    for (; index !== -1 && index < at; index = this.text.indexOf('\n', index + 1)) line += 1;
    this.#counted = { at, line };
    return line;
  }

  peek(length = 1): string {
    return this.text.substr(this.at, length);
  }

  /** @param pattern sticky. What it matched stands behind us. */
  take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) return undefined;
    this.at = pattern.lastIndex;
    return match;
  }

  takeText(text: string): boolean {
    if (!this.text.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  /** White space, comments, and documentation between `=word` and `=cut`. */
  skipBlank(): void {
    for (;;) {
      const char = this.peek();
      if (char === '\n') this.at = this.#skips.get(this.at) ?? this.at + 1;
      else if (/^\s$/.test(char)) this.at += 1;
      else if (char === '#') this.at = this.#endOfLine(this.at);
      else if (char === '=' && this.#isLineStart() && /^=[a-z]/i.test(this.peek(2))) this.#skipDocumentation();
      else return;
    }
  }

  /** Behind an opening quote: what stands before its closer, raw, and the closer behind us. Brackets nest. */
  quoted(opener: string): string {
    const closer = CLOSERS[opener] ?? opener;
    const start = this.at;
    let depth = 1;
    for (; this.at < this.text.length; this.at += 1) {
      const char = this.peek();
      if (char === '\\') this.at += 1;
      else if (char === closer) depth -= 1;
      else if (char === opener) depth += 1;
      if (depth > 0) continue;
      this.at += 1;
      return this.text.slice(start, this.at - 1);
    }
    throw broken(this.lineAt(start), `${opener} is not closed`);
  }

  /** The lines from the next one to the line that is `tag`; they are stepped over later. */
  hereDocument(tag: string, isIndented: boolean): string {
    const end = this.#endOfLine(this.at);
    const start = this.#skips.get(end) ?? end + 1;
    for (let from = start; from < this.text.length; from = this.#endOfLine(from) + 1) {
      const line = this.text.slice(from, this.#endOfLine(from));
      if ((isIndented ? line.trimStart() : line) !== tag) continue;
      this.#skips.set(end, Math.min(this.#endOfLine(from) + 1, this.text.length));
      const body = this.text.slice(start, from);
      return isIndented ? unindented(body) : body;
    }
    throw broken(this.line, `<<${tag} is not closed`);
  }

  /**
   * Steps over what is not understood: to one of `stops` outside of brackets and quotes, which stays before us, or behind
   * a block where `endsAtBlock`. @throws `broken` where a bracket or quote never ends.
   */
  skipTo(stops: string, { endsAtBlock = false } = {}): void {
    const open: string[] = [];
    const start = this.at;
    // Behind a value `/` divides; elsewhere it begins a pattern, and quotes in there are none.
    let isBehindValue = false;
    for (;;) {
      this.skipBlank();
      const char = this.peek();
      if (char === '') break;
      if (open.length === 0 && stops.includes(char)) return;
      if (this.#skipWord() || this.#skipHereDocument()) {
        isBehindValue = !this.#isBehindOperatorWord();
        continue;
      }
      this.at += 1;
      if (`'"\``.includes(char) || (char === '/' && !isBehindValue)) this.quoted(char);
      else if (char === '/') this.takeText('/');
      else if ('([{'.includes(char)) open.push(CLOSERS[char] ?? '');
      else if (')]}'.includes(char) && open.pop() !== char) throw broken(this.line, `${char} closes nothing`);
      if (char === '}' && open.length === 0 && endsAtBlock) return;
      isBehindValue = `'"\`)]}`.includes(char);
    }
    if (open.length > 0) throw broken(this.lineAt(start), `${open.at(-1) ?? ''} is missing`);
  }

  /** A variable, a number, a word with the quoted text that it may announce; `-s` asks about a file. */
  #skipWord(): boolean {
    if (this.take(/[$@%&]#?\w+|\$[#'"`/]|->\s*\w+|-[A-Za-z]\b/y) !== undefined) return true;
    const word = this.take(/\w+/y)?.[0];
    if (word === undefined) return false;
    const parts = QUOTING[word];
    if (parts === undefined) return true;
    const { at } = this;
    const isApart = this.take(/\s+/y) !== undefined;
    const opener = this.peek();
    // `s => 1`, `(y, 2)`, `s = 3`: a word like any other.
    if (opener === '' || /[\s\w,;)}=]/.test(opener) || (isApart && opener === '#')) {
      this.at = at;
      return true;
    }
    this.at += 1;
    this.quoted(opener);
    if (parts === 1) return true;
    if (CLOSERS[opener] === undefined) this.quoted(opener);
    else {
      this.skipBlank();
      const next = this.peek();
      this.at += 1;
      this.quoted(next);
    }
    return true;
  }

  #skipHereDocument(): boolean {
    const match = this.take(HERE_DOCUMENT);
    if (match === undefined) return false;
    const [, indent, double, single, bare] = match;
    this.hereDocument(double ?? single ?? bare ?? '', indent === '~');
    return true;
  }

  /** `split /,/`, `if /x/`: words that no value ends with. */
  #isBehindOperatorWord(): boolean {
    return /\b(?:split|grep|map|if|elsif|unless|and|or|not|x|return|while|until|push)$/.test(
      this.text.slice(Math.max(0, this.at - 8), this.at),
    );
  }

  #isLineStart(): boolean {
    return this.at === 0 || this.text[this.at - 1] === '\n';
  }

  #endOfLine(at: number): number {
    const end = this.text.indexOf('\n', at);
    return end === -1 ? this.text.length : end;
  }

  #skipDocumentation(): void {
    const end = /^=cut\b.*$/gm;
    end.lastIndex = this.at;
    this.at = end.exec(this.text) === null ? this.text.length : end.lastIndex;
  }
}

function unindented(body: string): string {
  const lines = body.split('\n');
  let depth = Number.MAX_SAFE_INTEGER;
  for (const line of lines) if (line.trim() !== '') depth = Math.min(depth, line.length - line.trimStart().length);
  return lines.map((line) => line.slice(Math.min(depth, line.length))).join('\n');
}
