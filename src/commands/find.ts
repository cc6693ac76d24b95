/** Which command the words mean; where none, which were near. */
import { refuse, type Parsed } from '../base/fault.ts';
import { didYouMean } from '../base/nearest.ts';
import { Arguments, bindArguments, COMMON_FLAGS, matchesWords, placesOf, splitFlags, type Place } from './arguments.ts';
import type { Command, Flag } from './command.ts';

export interface Entry {
  readonly command: Command;
  readonly places: readonly Place[];
  readonly flags: readonly Flag[];
}

/** The vocabulary: every command once, in the order of `help`. */
export class Vocabulary {
  readonly entries: readonly Entry[];
  readonly #flags: readonly Flag[];

  constructor(commands: readonly Command[]) {
    this.entries = commands.map((command) => ({
      command,
      places: placesOf(command.form),
      flags: [...(command.flags ?? []), ...COMMON_FLAGS],
    }));
    this.#flags = this.entries.flatMap((entry) => entry.flags);
  }

  /** The first words of all commands: `user`, `create`. */
  get nouns(): readonly string[] {
    return [...new Set(this.entries.map((entry) => entry.command.form.split(' ')[0] ?? ''))];
  }

  /** The commands that start with this word. */
  of(noun: string): readonly Entry[] {
    return this.entries.filter((entry) => entry.command.form.split(' ')[0] === noun);
  }

  /**
   * The command whose small words stand where its form has them. The words are looked at without flags; a
   * flag's value may be taken for a word here, so every entry's own flags are tried.
   */
  find(argv: readonly string[]): Parsed<Entry> {
    const matching = this.entries.filter((entry) => {
      const split = splitFlags(argv, entry.flags);
      const positional = split.kind === 'ok' ? split.value.positional : bare(argv, this.#flags);
      return matchesWords(entry.places, positional);
    });
    // `help` beside `help COMMAND…` would be two; the longer form says more.
    const found = matching.toSorted((a, b) => smallWords(b) - smallWords(a))[0];
    return found === undefined ? refuse(this.#unknown(bare(argv, this.#flags))) : { kind: 'ok', value: found };
  }

  #unknown(words: readonly string[]): string {
    const noun = words[0];
    if (noun === undefined) return 'no command is given; try help';
    const family = this.of(noun);
    if (family.length === 0) return `unknown command ${shown(noun)}${didYouMean(noun, this.nouns)}`;
    const at = family[0]?.places.findIndex((place, index) => index > 0 && place.kind === 'word') ?? -1;
    const given = at < 0 ? undefined : words[at];
    const verbs = family.flatMap((entry) => {
      const place = entry.places[at];
      return place?.kind === 'word' ? [place.word] : [];
    });
    if (given === undefined) return `${noun} needs one of: ${verbs.join(', ')}`;
    return `unknown command ${noun} ${shown(given)}${didYouMean(given, verbs)}`;
  }
}

export interface Parse {
  readonly entry: Entry;
  readonly args: Arguments;
}

/** The arguments of the words for this entry. */
export function parseFor(entry: Entry, argv: readonly string[]): Parsed<Arguments> {
  const split = splitFlags(argv, entry.flags);
  if (split.kind === 'refused') return split;
  // `user --help`, `create --help`: whoever asks for help need not name the rest.
  if (split.value.flags.has('--help')) return { kind: 'ok', value: new Arguments(new Map(), split.value.flags) };
  const texts = bindArguments(entry.places, split.value.positional);
  return texts.kind === 'refused' ? texts : { kind: 'ok', value: new Arguments(texts.value, split.value.flags) };
}

/** `user add NAME EMAIL REAL-NAME… [--ci]`. */
export function synopsis(entry: Entry): string {
  const flags = (entry.command.flags ?? []).map((flag) => {
    const text = flag.value === undefined ? flag.name : `${flag.name} ${flag.value}`;
    return `[${flag.short === undefined ? text : `${flag.short}|${text}`}]${flag.repeat === true ? '…' : ''}`;
  });
  return [entry.command.form, ...flags].join(' ');
}

/** What the journal may keep of the words: secrets are replaced, and so are passwords in addresses. */
export function withoutSecrets(entry: Entry, argv: readonly string[]): readonly string[] {
  const secrets = entry.command.secrets ?? [];
  const words = argv.map(withoutPassword);
  if (secrets.length === 0) return words;
  const split = splitFlags(argv, entry.flags);
  if (split.kind === 'refused') return argv.slice(0, 1);
  const { positional, flags } = split.value;
  const hidden = new Set(
    entry.places.flatMap((place, index) => {
      const word = positional[index];
      return place.kind === 'argument' && secrets.includes(place.name) && word !== undefined ? [word] : [];
    }),
  );
  for (const flag of secrets) {
    // `-` stands for standard input.
    for (const value of flags.get(flag) ?? []) if (value !== '-') hidden.add(value).add(`${flag}=${value}`);
  }
  return words.map((word, index) => (hidden.has(argv[index] ?? '') ? '(secret)' : word));
}

/**
 * `https://name:password@host/`: what stands there is refused, and the journal does not keep it. A password may hold
 * `@`, `/` or `:` itself, stand behind `--flag=`, or in `name:password@host:path`: more is hidden rather than less.
 */
function withoutPassword(word: string): string {
  const [, start = '', user = '', rest = ''] = ADDRESS.exec(word) ?? SCP.exec(word) ?? [];
  // Of ssh, a user alone is no secret; of http, what stands before the host may be a token.
  const isSecret = user.includes(':') || (/https?:\/\/$/i.test(start) && !/^[^@]*\//.test(user));
  return isSecret ? `${start}(secret)@${rest}` : word;
}

/** What an address begins with, everything before its last `@`, and the rest. */
const ADDRESS = /^((?:--?[a-z-]+=?)?[A-Za-z][A-Za-z0-9+.-]*:\/\/)(\S*)@(.*)$/s;
const SCP = /^((?:--[a-z-]+=)?)([^\s/:@=]+:(?!\/\/)\S*)@(.*)$/s;

/** Text of the asker's that goes back to a terminal. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

function smallWords(entry: Entry): number {
  return entry.places.filter((place) => place.kind === 'word').length;
}

/** Words that are no flags, by all flags there are. */
function bare(argv: readonly string[], flags: readonly Flag[]): readonly string[] {
  const split = splitFlags(
    argv.filter((word) => !/^-[-A-Za-z]/.test(word) || word === '--'),
    flags,
  );
  return split.kind === 'ok' ? split.value.positional : argv;
}
