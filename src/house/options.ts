/** The local command line, before it is a command: flags of the gate, and what is wanted. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadConfig, type Config } from '../base/config.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { didYouMean } from '../base/nearest.ts';
import { SETTING_IDS, settingOf } from '../base/settings.ts';
import { VERSION } from '../base/version.ts';

/** What the words ask for. `serve` and `config` read the configuration, a command needs only the directory. */
export type Wish =
  | { readonly kind: 'version' }
  | { readonly kind: 'help' }
  | { readonly kind: 'serve'; readonly flags: LocalFlags }
  | { readonly kind: 'gate'; readonly flags: LocalFlags }
  | { readonly kind: 'config'; readonly flags: LocalFlags; readonly json: boolean }
  | { readonly kind: 'command'; readonly flags: LocalFlags; readonly argv: readonly string[] };

/** Texts by flag, in the order given. */
export type LocalFlags = ReadonlyMap<string, readonly string[]>;

interface LocalFlag {
  readonly name: string;
  /** What follows it; absent: nothing. */
  readonly value?: string;
  readonly repeat: boolean;
  readonly meaning: string;
}

const OWN_FLAGS: readonly LocalFlag[] = [
  {
    name: '--data',
    value: 'DIR',
    repeat: false,
    meaning: 'the data directory; default: $GATEHOUSE_DATA, or ./data',
  },
  {
    name: '--config',
    value: 'FILE',
    repeat: false,
    meaning: 'the configuration; default: gatehouse.toml in the data directory',
  },
];
const AS_FLAG: LocalFlag = {
  name: '--as',
  value: 'USER',
  repeat: false,
  meaning: 'act as USER instead of the administrator',
};

const SETTING_FLAGS: readonly LocalFlag[] = SETTING_IDS.map(settingOf).flatMap((setting) =>
  setting.flag === undefined
    ? []
    : [
        {
          name: setting.flag,
          value: valueWord(setting.type),
          repeat: setting.type === 'paths',
          meaning: setting.meaning,
        },
      ],
);

/** Of a gate for one job; those without a value stand alone. */
const GATE_FLAGS: readonly LocalFlag[] = [
  { name: '--upstreams', value: 'FILE', repeat: false, meaning: 'what the gate stands in front of, and for whom' },
  { name: '--yes', repeat: false, meaning: 'do what the preflight says, without asking' },
  { name: '--check', repeat: false, meaning: 'print the preflight, ask upstreams and forges, make nothing' },
  {
    name: '--credentials-out',
    value: 'FILE',
    repeat: false,
    meaning: "where the agent's tokens go (mode 0600); default: in the data directory",
  },
  { name: '--gitconfig-out', value: 'FILE', repeat: false, meaning: "where the agent's git configuration goes, too" },
];

const FLAGS: readonly LocalFlag[] = [...OWN_FLAGS, AS_FLAG, ...SETTING_FLAGS];

function valueWord(type: string): string {
  return { address: 'HOST:PORT|off', path: 'FILE', paths: 'FILE', choice: 'WORD', text: 'NAME' }[type] ?? 'VALUE';
}

/** @param argv the words behind the program's name */
export function readWish(argv: readonly string[]): Parsed<Wish> {
  const front = takeFlags(argv, { stopAtWord: true });
  if (front.kind === 'refused') return front;
  const [first, ...rest] = front.value.rest;
  const flags = front.value.flags;
  if (first === '--version') return ok({ kind: 'version' });
  if (first === '--help' || first === '-h' || first === undefined) return ok({ kind: 'help' });
  const isConfigShow = first === 'config' && rest[0] === 'show';
  if (first === 'gate') return readGate(flags, rest);
  if (first !== 'serve' && !isConfigShow) return ok({ kind: 'command', flags, argv: front.value.rest });
  const back = takeFlags(isConfigShow ? rest.slice(1) : rest, { stopAtWord: false });
  if (back.kind === 'refused') return back;
  const left = back.value.rest.filter((word) => word !== '--json' || !isConfigShow);
  if (left.includes('--help') || left.includes('-h')) return ok({ kind: 'help' });
  if (left.includes('--version')) return ok({ kind: 'version' });
  if (left[0] !== undefined) return refuse(unknown(left[0]));
  const all = new Map(flags);
  for (const [name, texts] of back.value.flags) all.set(name, [...(all.get(name) ?? []), ...texts]);
  if (all.has('--as')) return refuse('--as goes with a command, not with serve');
  return ok(
    isConfigShow
      ? { kind: 'config', flags: all, json: back.value.rest.includes('--json') }
      : { kind: 'serve', flags: all },
  );
}

function readGate(front: LocalFlags, words: readonly string[]): Parsed<Wish> {
  const known = [...FLAGS, ...GATE_FLAGS];
  const back = takeFlags(words, { stopAtWord: false, known });
  if (back.kind === 'refused') return back;
  const { flags, rest } = back.value;
  if (rest.includes('--help') || rest.includes('-h')) return ok({ kind: 'help' });
  if (rest[0] !== undefined) return refuse(unknown(rest[0], known));
  if (front.has('--as') || flags.has('--as')) return refuse('--as goes with a command, not with gate');
  return ok({ kind: 'gate', flags: new Map([...front, ...flags]) });
}

function unknown(word: string, flags: readonly LocalFlag[] = FLAGS): string {
  const known = [...flags.map((flag) => flag.name), '--help', '--version'];
  return word.startsWith('-')
    ? `unknown flag ${word}${didYouMean(word, known)}`
    : `unexpected word ${JSON.stringify(word)}`;
}

interface Taken {
  readonly flags: LocalFlags;
  readonly rest: readonly string[];
}

/** Takes the gate's own flags from the words; with `stopAtWord` only in front of the first that is none. */
function takeFlags(
  argv: readonly string[],
  about: { readonly stopAtWord: boolean; readonly known?: readonly LocalFlag[] },
): Parsed<Taken> {
  const { stopAtWord, known = FLAGS } = about;
  const flags = new Map<string, string[]>();
  const rest: string[] = [];
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] ?? '';
    const at = word.indexOf('=');
    const name = word.startsWith('--') && at > 0 ? word.slice(0, at) : word;
    const flag = known.find((each) => each.name === name);
    if (flag === undefined) {
      const isAnswered = ['--help', '-h', '--version', '--json'].includes(word);
      if (stopAtWord && word.startsWith('-') && !isAnswered) return refuse(unknown(word));
      if (stopAtWord) return ok({ flags, rest: argv.slice(index) });
      rest.push(word);
      continue;
    }
    if (flag.value === undefined && name !== word) return refuse(`${name} takes no value`);
    const value = flag.value === undefined ? '' : name === word ? argv[index + 1] : word.slice(at + 1);
    if (value === undefined) return refuse(`${name} needs ${flag.value ?? 'a value'}`);
    if (name === word && flag.value !== undefined) index += 1;
    const before = flags.get(name);
    if (before !== undefined && !flag.repeat) return refuse(`${name} is given twice`);
    flags.set(name, [...(before ?? []), value]);
  }
  return ok({ flags, rest });
}

/** Where things are on this machine, so that a test can say otherwise. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

export function dataDirectoryOf(flags: LocalFlags, { env, cwd }: Surroundings): string {
  const given = flags.get('--data')?.at(-1) ?? env['GATEHOUSE_DATA'];
  return resolve(cwd, given === undefined || given === '' ? 'data' : given);
}

export function configOf(flags: LocalFlags, surroundings: Surroundings): Parsed<Config> {
  const file = flags.get('--config')?.at(-1);
  return loadConfig({
    flags,
    dataDirectory: dataDirectoryOf(flags, surroundings),
    cwd: surroundings.cwd,
    ...(file === undefined ? {} : { file: resolve(surroundings.cwd, file) }),
  });
}

/** Flags of commands that name a file of this machine, by the command's first word; `-` is standard input. */
const FILE_FLAGS: ReadonlyMap<string, readonly string[]> = new Map([
  ['mirror', ['--key', '--token', '--certificate', '--ca', '--forge-token', '--forge-ca']],
  ['pass', ['--key']],
]);

/** `policy check DIR` and `pass issue --key FILE` run in the gate, which has another working directory. */
export function absoluteWords(argv: readonly string[], cwd: string): readonly string[] {
  const start = argv[0] === 'as' ? 2 : 0;
  const flags = FILE_FLAGS.get(argv[start] ?? '');
  if (flags !== undefined)
    return argv.map((word, index) => absoluteValue({ word, before: argv[index - 1], flags, cwd }));
  const directory = argv[start + 2];
  if (argv[start] !== 'policy' || argv[start + 1] !== 'check') return argv;
  if (directory === undefined || directory.startsWith('-')) return argv;
  return argv.map((word, index) => (index === start + 2 ? resolve(cwd, word) : word));
}

function absoluteValue(about: {
  readonly word: string;
  readonly before: string | undefined;
  readonly flags: readonly string[];
  readonly cwd: string;
}): string {
  const { word, before, flags, cwd } = about;
  if (before !== undefined && flags.includes(before)) return word === '-' ? word : resolve(cwd, word);
  const flag = flags.find((name) => word.startsWith(`${name}=`));
  if (flag === undefined || word === `${flag}=-`) return word;
  return `${flag}=${resolve(cwd, word.slice(flag.length + 1))}`;
}

/** Whether a gate was ever started on this directory: a command does not make a site. */
export function isDataDirectory(directory: string): boolean {
  return existsSync(join(directory, 'gatehouse.db'));
}

export function helpText(): string {
  const row = (flag: LocalFlag): string =>
    `  ${`${flag.name} ${flag.value ?? ''}`.trimEnd().padEnd(24)}  ${flag.meaning}\n`;
  return [
    `Gatehouse ${VERSION}: one gate for every Git operation.\n`,
    `usage: gatehouse serve [FLAG…]              open the gate`,
    `       gatehouse gate --upstreams FILE      open a gate for one job, in front of what FILE declares`,
    `       gatehouse [FLAG…] COMMAND …          run a command as the administrator; \`gatehouse help\` lists them`,
    `       gatehouse config show [FLAG…]        print the effective configuration and where it came from`,
    `       gatehouse --version | --help\n`,
    `Flags of serve (npm start -- FLAG…):\n${[...OWN_FLAGS, ...SETTING_FLAGS].map(row).join('')}`,
    `Flags of gate, beside those of serve:\n${GATE_FLAGS.map(row).join('')}`,
    `Flags of a command, in front of it:\n${[...OWN_FLAGS, AS_FLAG].map(row).join('')}`,
  ].join('\n');
}
