/** A command's form against the words that were typed. */
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { didYouMean } from '../base/nearest.ts';
import { Fault } from '../base/fault.ts';
import type { Flag } from './command.ts';

/** One place of a form. */
export type Place =
  | { readonly kind: 'word'; readonly word: string }
  | { readonly kind: 'argument'; readonly name: string; readonly optional: boolean; readonly many: boolean };

/** `config REPO set KEY VALUE…` as places. */
export function placesOf(form: string): readonly Place[] {
  return form.split(' ').map((part) => {
    const match = /^(\[?)([A-Z][A-Z-]*)(…?)(\]?)$/.exec(part);
    if (match === null) return { kind: 'word', word: part };
    return { kind: 'argument', name: match[2] ?? '', optional: match[1] === '[', many: match[3] === '…' };
  });
}

/** Flags that every command takes. */
export const COMMON_FLAGS: readonly Flag[] = [
  { name: '--json', meaning: 'print JSON' },
  { name: '--help', short: '-h', meaning: 'explain this command' },
];

/** What was typed, by argument and flag. */
export class Arguments {
  readonly #texts: ReadonlyMap<string, readonly string[]>;
  readonly #flags: ReadonlyMap<string, readonly string[]>;

  constructor(texts: ReadonlyMap<string, readonly string[]>, flags: ReadonlyMap<string, readonly string[]>) {
    this.#texts = texts;
    this.#flags = flags;
  }

  /** A required argument; the words of a `MANY…` joined by one space. */
  text(name: string): string {
    const text = this.optional(name);
    if (text === undefined) throw new Fault('internal', 'argument is not in the form', { context: { name } });
    return text;
  }

  optional(name: string): string | undefined {
    return this.#texts.get(name)?.join(' ');
  }

  words(name: string): readonly string[] {
    return this.#texts.get(name) ?? [];
  }

  has(flag: string): boolean {
    return this.#flags.has(flag);
  }

  /** The value of a flag, the last where it was repeated. */
  value(flag: string): string | undefined {
    return this.#flags.get(flag)?.at(-1);
  }

  values(flag: string): readonly string[] {
    return this.#flags.get(flag) ?? [];
  }
}

/** Words taken apart: what stands in place, and flags by name with their values. */
export interface Split {
  readonly positional: readonly string[];
  readonly flags: ReadonlyMap<string, readonly string[]>;
}

/** Flags may stand anywhere; behind `--` nothing is a flag. `-` alone and negative numbers are no flags. */
export function splitFlags(argv: readonly string[], known: readonly Flag[]): Parsed<Split> {
  const positional: string[] = [];
  const flags = new Map<string, string[]>();
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] ?? '';
    if (word === '--') {
      positional.push(...argv.slice(index + 1));
      break;
    }
    if (!/^-[-A-Za-z]/.test(word)) {
      positional.push(word);
      continue;
    }
    const [name, inline] = word.startsWith('--') ? splitOnce(word) : [word, undefined];
    const flag = known.find((each) => each.name === name || each.short === name);
    if (flag === undefined)
      return refuse(
        `unknown flag ${name}${didYouMean(
          name,
          known.map((each) => each.name),
        )}`,
      );
    const taken = valueOf({ flag, inline, next: argv[index + 1] });
    if (taken.kind === 'refused') return taken;
    if (taken.value.usedNext) index += 1;
    const before = flags.get(flag.name);
    if (before !== undefined && flag.repeat !== true) return refuse(`${flag.name} is given twice`);
    flags.set(flag.name, [...(before ?? []), taken.value.text]);
  }
  return ok({ positional, flags });
}

function splitOnce(word: string): [string, string | undefined] {
  const at = word.indexOf('=');
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function valueOf(given: {
  readonly flag: Flag;
  readonly inline: string | undefined;
  readonly next: string | undefined;
}): Parsed<{ readonly text: string; readonly usedNext: boolean }> {
  const { flag, inline, next } = given;
  if (flag.value === undefined) {
    return inline === undefined ? ok({ text: '', usedNext: false }) : refuse(`${flag.name} takes no value`);
  }
  if (inline !== undefined) return ok({ text: inline, usedNext: false });
  if (next === undefined || next === '--') return refuse(`${flag.name} needs ${flag.value}`);
  return ok({ text: next, usedNext: true });
}

/** Whether the small words of the form stand where they should, as far as `positional` goes. */
export function matchesWords(places: readonly Place[], positional: readonly string[]): boolean {
  return places.every((place, index) => place.kind === 'argument' || positional[index] === place.word);
}

/** The arguments by name, or what is missing or too much. */
export function bindArguments(
  places: readonly Place[],
  positional: readonly string[],
): Parsed<ReadonlyMap<string, readonly string[]>> {
  const texts = new Map<string, readonly string[]>();
  for (const [index, place] of places.entries()) {
    if (place.kind === 'word') continue;
    const taken = place.many ? positional.slice(index) : positional.slice(index, index + 1);
    if (taken.length === 0 && !place.optional) return refuse(`${place.name} is missing`);
    if (taken.length > 0) texts.set(place.name, taken);
  }
  const isOpen = places.some((place) => place.kind === 'argument' && place.many);
  const extra = positional[places.length];
  if (!isOpen && extra !== undefined) return refuse(`nothing follows, but there is ${JSON.stringify(extra)}`);
  return ok(texts);
}
