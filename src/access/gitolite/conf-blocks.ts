/**
 * The lines of a conf, a block for each `repo` line with what stands below it. A block that stands in the conf before this
 * one, too, is not written out and parsed again where nothing around it can change what it says.
 */
import { MASTER, type ConfLine } from './conf-line.ts';
import type { ConfParser, ParsedBlock } from './conf-parser.ts';
import type { ConfProblems } from './conf-problem.ts';
import { PlainWriter } from './plain-rules.ts';

/** One as it was parsed. */
interface KnownBlock {
  readonly lines: readonly ConfLine[];
  readonly parsed: ParsedBlock;
}

/** First line -> those that start so, in order. */
export type KnownBlocks = ReadonlyMap<string, readonly KnownBlock[]>;

/** Blocks that start alike and are tried, one after another. */
const TRIED_MAX = 4;

export interface BlockParts {
  readonly roles: ReadonlySet<string>;
  readonly problems: ConfProblems;
  readonly parser: ConfParser;
  readonly previous: KnownBlocks | undefined;
}

export function parseBlocks(lines: readonly ConfLine[], parts: BlockParts): KnownBlocks {
  const reader = new BlockReader(parts);
  let start = 0;
  for (let at = 1; at <= lines.length; at += 1) {
    if (at < lines.length && lines[at]?.text.startsWith('repo ') !== true) continue;
    reader.read(lines.slice(start, at));
    start = at;
  }
  return reader.known;
}

class BlockReader {
  readonly known = new Map<string, KnownBlock[]>();
  readonly #parts: BlockParts;
  readonly #writer: PlainWriter;
  /** How many of those with this first line are behind us. */
  readonly #passed = new Map<string, number>();

  constructor(parts: BlockParts) {
    this.#parts = parts;
    this.#writer = new PlainWriter(parts.roles, parts.problems);
  }

  read(lines: readonly ConfLine[]): void {
    // Groups behind a block are for what follows; within one they make it depend on its place.
    let end = lines.length;
    while (end > 0 && isGroup(lines[end - 1])) end -= 1;
    const block = end === lines.length ? lines : lines.slice(0, end);
    if (!isAlone(block) || this.#writer.isInside) this.#parse(lines);
    else {
      const parsed = this.#again(block) ?? this.#parse(block);
      if (parsed !== undefined) this.#keep({ lines: block, parsed });
      if (end < lines.length) this.#parse(lines.slice(end));
    }
  }

  #parse(lines: readonly ConfLine[]): ParsedBlock | undefined {
    const { parser, problems } = this.#parts;
    const told = problems.told;
    const parsed = parser.block(this.#writer.write(lines));
    return problems.told === told ? parsed : undefined;
  }

  #again(block: readonly ConfLine[]): ParsedBlock | undefined {
    const { parser, previous } = this.#parts;
    const [first] = block;
    const candidates = first === undefined ? undefined : previous?.get(first.text);
    if (first === undefined || candidates === undefined) return undefined;
    const from = this.#passed.get(first.text) ?? 0;
    for (let at = from; at < Math.min(candidates.length, from + TRIED_MAX); at += 1) {
      const candidate = candidates[at];
      if (candidate === undefined || !isSame(candidate.lines, block)) continue;
      this.#passed.set(first.text, at + 1);
      return parser.again(candidate.parsed, first.line - (candidate.lines[0]?.line ?? 0));
    }
    return undefined;
  }

  #keep(block: KnownBlock): void {
    const first = block.lines[0]?.text ?? '';
    const list = this.known.get(first);
    if (list === undefined) this.known.set(first, [block]);
    else list.push(block);
  }
}

function isGroup(line: ConfLine | undefined): boolean {
  return line !== undefined && line.text.startsWith('@');
}

/** It says all there is about it: in one file, in the main part, no block to skip and no group among its lines. */
function isAlone(block: readonly ConfLine[]): boolean {
  const [first] = block;
  if (first === undefined || !first.text.startsWith('repo ')) return false;
  return block.every(
    ({ text, file, subconf }) =>
      subconf === MASTER && file === first.file && !text.startsWith('@') && !text.startsWith('='),
  );
}

/** The same lines, though further up or down in the same file. */
function isSame(known: readonly ConfLine[], block: readonly ConfLine[]): boolean {
  const shift = (block[0]?.line ?? 0) - (known[0]?.line ?? 0);
  return (
    known.length === block.length &&
    known[0]?.file === block[0]?.file &&
    known.every(({ text, line }, i) => text === block[i]?.text && line + shift === block[i]?.line)
  );
}
