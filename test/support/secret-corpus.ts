/**
 * Files of ordinary code with secrets planted at places that are known, and how well a scanner finds them. The text is that
 * of the dependencies that are installed anyway, changed a little each time it is used again.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Finding } from '../../src/scan/finding.ts';
import type { ScanItem } from '../../src/scan/scanner.ts';
import { Dice, HARMLESS_LINES, KINDS, makeSecret, nearMisses } from './secret-maker.ts';

export interface Plant {
  readonly rule: string;
  readonly path: string;
  /** From 1: first and last line. */
  readonly from: number;
  readonly to: number;
}

export interface CorpusFile {
  readonly path: string;
  readonly text: string;
  readonly plants: readonly Plant[];
}

export interface CorpusOptions {
  readonly seed: number;
  /** Secrets, as evenly over the kinds as it goes. */
  readonly plants: number;
  /** Of ordinary code. */
  readonly bytes: number;
}

const SOURCE_BYTES_MIN = 2_000;
const SLICE_BYTES_MAX = 60_000;
const TEXT = /\.(?:[cm]?[jt]s|json|md|css|ya?ml)$/;
/** Where projects keep keys made for their tests, and what is packed until nothing is ordinary about it. */
const LEFT_OUT =
  /(?:^|\/)(?:tests?|__tests__|fixtures?|examples?|bench|docs?)\/|\.min\.|\.map$|(?:README|CHANGELOG|History)\.md$/i;

/** A private key in a comment is what a scan has to find: such a file is not ordinary. */
const KEY = /-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[rn])/;

/** Texts of `node_modules`, sorted by path. */
export function ordinaryCode(root: string): readonly string[] {
  const modules = join(root, 'node_modules');
  return readdirSync(modules, { recursive: true, encoding: 'utf8' })
    .filter((path) => TEXT.test(path) && !LEFT_OUT.test(path))
    .toSorted()
    .flatMap((path) => textAt(join(modules, path)));
}

function textAt(path: string): readonly string[] {
  try {
    const text = readFileSync(path, 'utf8');
    return text.length >= SOURCE_BYTES_MIN && !KEY.test(text) ? [text] : [];
  } catch {
    return []; // a directory with the name of a file, a link that leads nowhere
  }
}

/** The same files for the same options and sources. */
export function* corpusFiles(sources: readonly string[], options: CorpusOptions): Generator<CorpusFile> {
  const dice = new Dice(options.seed);
  let planted = 0;
  let bytes = 0;
  for (let index = 0; bytes < options.bytes; index += 1) {
    const slice = sliceOf(dice.pick(sources), dice);
    const path = `src/part-${index % 97}/file-${index}.${dice.pick(['ts', 'py', 'yaml', 'env', 'go', 'json', 'txt'])}`;
    const share = Math.min(1, (bytes + slice.length) / options.bytes);
    const due = Math.round(share * options.plants) - planted;
    const file = plant(slice.split('\n'), { path, count: due, first: planted, dice });
    planted += due;
    bytes += slice.length;
    yield file;
  }
}

function sliceOf(source: string, dice: Dice): string {
  const length = Math.min(source.length, SLICE_BYTES_MAX);
  const start = dice.below(Math.max(1, source.length - length));
  const from = start === 0 ? 0 : source.indexOf('\n', start) + 1;
  const shift = dice.below(10);
  return source.slice(from, from + length).replaceAll(/\b\d\b/g, (digit) => String((Number(digit) + shift) % 10));
}

const FRAMES: readonly (readonly [string, string])[] = [
  ['const value = "', '";'],
  ["  item: '", "',"],
  ['value: ', ''],
  ['  - ', ''],
  ['VALUE=', ''],
  ['// seen: ', ''],
  ['# ', ''],
  ['<input value="', '" />'],
  ['{"id": 7, "value": "', '"}'],
  ["send('", "', 3)"],
  ['https://example.net/call?t=', ''],
  ['', ''],
];

interface Planting {
  readonly path: string;
  readonly count: number;
  /** Number of the first secret over all files: its kind follows from it. */
  readonly first: number;
  readonly dice: Dice;
}

/** Each secret stands beside something that is none. Places are taken from the end on, so that those before stay true. */
function plant(lines: string[], { path, count, first, dice }: Planting): CorpusFile {
  const blocks: { readonly rule: string | undefined; readonly lines: readonly string[] }[] = [];
  for (let index = 0; index < count; index += 1) {
    const rule = KINDS[(first + index) % KINDS.length] ?? '';
    const { text, isLine } = makeSecret(rule, dice);
    const [before, after] = isLine ? ['', ''] : dice.pick(FRAMES);
    blocks.push({ rule, lines: `${before}${text}${after}`.split('\n') });
    for (const miss of nearMisses(rule, dice)) {
      const [left, right] = dice.pick(FRAMES);
      blocks.push({ rule: undefined, lines: [`${left}${miss}${right}`] });
    }
    blocks.push({ rule: undefined, lines: [dice.pick(HARMLESS_LINES)] });
  }
  const out: string[] = [];
  const plants: Plant[] = [];
  const step = Math.max(1, Math.floor(lines.length / (blocks.length + 1)));
  let at = 0;
  for (const block of blocks) {
    out.push(...lines.slice(at, at + step), '');
    at += step;
    if (block.rule !== undefined) {
      plants.push({ rule: block.rule, path, from: out.length + 1, to: out.length + block.lines.length });
    }
    out.push(...block.lines, '');
  }
  out.push(...lines.slice(at));
  return { path, text: out.join('\n'), plants };
}

export function itemOf({ path, text }: CorpusFile): ScanItem {
  const content = Buffer.from(text);
  return { kind: 'blob', path, oid: '', size: content.length, content };
}

export interface Score {
  readonly rule: string;
  readonly planted: number;
  readonly found: number;
  /** Findings of this rule where nothing was planted. */
  readonly wrong: number;
  readonly recall: number;
  readonly precision: number;
}

/** By rule. A finding at the place of a secret is right, whatever rule it is of; a secret is found by its own rule only. */
export function scoresOf(plants: readonly Plant[], findings: readonly Finding[]): readonly Score[] {
  const places = new Map<string, Plant[]>();
  for (const each of plants) places.set(each.path, [...(places.get(each.path) ?? []), each]);
  const hit = new Set<Plant>();
  const right = new Map<string, number>();
  const wrong = new Map<string, number>();
  for (const { rule, path, line } of findings) {
    const there = (places.get(path) ?? []).filter(({ from, to }) => line >= from && line <= to);
    for (const each of there) if (each.rule === rule) hit.add(each);
    const counts = there.length > 0 ? right : wrong;
    counts.set(rule, (counts.get(rule) ?? 0) + 1);
  }
  const rules = new Set([...plants.map(({ rule }) => rule), ...wrong.keys()]);
  return [...rules].toSorted().map((rule) => {
    const planted = plants.filter((each) => each.rule === rule).length;
    const found = [...hit].filter((each) => each.rule === rule).length;
    const mistakes = wrong.get(rule) ?? 0;
    const all = (right.get(rule) ?? 0) + mistakes;
    return {
      rule,
      planted,
      found,
      wrong: mistakes,
      recall: planted === 0 ? 1 : found / planted,
      precision: all === 0 ? 1 : 1 - mistakes / all,
    };
  });
}
