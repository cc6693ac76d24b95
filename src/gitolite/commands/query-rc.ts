/** `gitolite query-rc`: what a setting is, for people and for scripts. */
import { getOptions, type OptionSpec } from '../getopt.ts';
import { glWarn } from '../gl-log.ts';
import { isHash, isTrue, scalarOf } from '../rc-value.ts';
import type { Rc, RcValue } from '../rc.ts';
import type { Run } from '../run.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const USAGE = `
Usage:  gitolite query-rc -a
        gitolite query-rc -d
        gitolite query-rc --unclear
        gitolite query-rc [-n] [-q] SETTING [KEY...]

    -a          every setting and its value, without what lists and hashes hold
    -d          everything
    --unclear   what of the settings files is not understood or not acted upon; exit code 1 where there is any
    -n          no line end behind a single value
    -q          say nothing, exit code only (0: set and true)

Shows a setting. What follows its name leads into it: keys of a hash, numbers of a list.

    gitolite query-rc GL_REPO_BASE      # where the repositories lie
    gitolite query-rc UMASK             # in decimal: 63 is 0077
    gitolite query-rc COMMANDS          # the commands that are enabled
    gitolite query-rc -q COMMANDS fork  # whether 'fork' is
    gitolite query-rc POST_COMPILE 0    # the first that runs behind a compile

`;

const OPTIONS: readonly OptionSpec[] = [
  { names: ['all', 'a'] },
  { names: ['dump', 'd'] },
  { names: ['nonl', 'n'] },
  { names: ['quiet', 'q'] },
  { names: ['help', 'h'] },
  { names: ['unclear'] },
];

export const queryRc: SiteCommand = {
  name: 'query-rc',
  summary: 'show settings',
  usage: USAGE,
  async run(run, args) {
    const read = await getOptions(run, args, OPTIONS);
    if (read === undefined) return usage(run);
    const { options: given, operands } = read;
    const isLone = operands.length === 0 && !given.has('dump') && !given.has('nonl') && !given.has('quiet');
    if (given.has('all') && !isLone) {
      throw dies(`'-a' cannot be combined with other arguments or options; run with '-h' for usage`);
    }
    if (given.has('unclear')) return printUnclear(run);
    const isEmpty = operands.length === 0 && !given.has('all') && !given.has('dump');
    if (isEmpty || given.has('help')) return usage(run);
    const values = valuesOf(run);
    if (given.has('all')) return printAll(run, values);
    if (given.has('dump')) return printDump(run, values);
    const value = await find(run, values, operands);
    const isSet = typeof value === 'string' ? isTrue(value) : value !== undefined;
    if (!given.has('quiet')) await print(run, value, { lineEnd: given.has('nonl') ? '' : '\n' });
    return isSet ? 0 : 1;
  },
};

async function usage(run: Run): Promise<number> {
  await run.print(USAGE);
  return 1;
}

async function printUnclear(run: Run): Promise<number> {
  const { notUnderstood } = run.rc;
  await run.print(notUnderstood.map((line) => `${line}\n`).join(''));
  return notUnderstood.length === 0 ? 0 : 1;
}

/** What belongs to the invocation is among the settings too. */
function valuesOf({ rc, env }: Run): Rc['values'] {
  const values = Object.assign(Object.create(null) as Record<string, RcValue>, rc.values);
  for (const name of ['GL_TID', 'GL_LOGFILE', 'GL_LIBDIR']) {
    const value = env[name];
    if (value !== undefined) values[name] = value;
  }
  return values;
}

async function find(run: Run, values: Rc['values'], path: readonly string[]): Promise<RcValue | undefined> {
  let value: RcValue | undefined = values;
  for (const key of path) {
    if (typeof value === 'string' || value === undefined) {
      await glWarn(run, 'unused arguments...');
      break;
    }
    value = isHash(value) ? value[key] : itemOf(value, key);
    // As in Perl's own `||`: what is false is nothing to look into.
    if (typeof value === 'string' && !isTrue(value)) value = '';
    value ??= '';
  }
  return value;
}

function itemOf(list: readonly RcValue[], key: string): RcValue | undefined {
  return list.at(Number.parseInt(key, 10) || 0);
}

async function print(run: Run, value: RcValue | undefined, { lineEnd }: { readonly lineEnd: string }): Promise<void> {
  if (value === undefined || typeof value === 'string') {
    if (isTrue(value)) await run.print(`${scalarOf(value)}${lineEnd}`);
    return;
  }
  const lines = isHash(value) ? Object.keys(value).sort() : value.map(shown);
  if (lines.length > 0) await run.print(`${lines.join('\n')}\n`);
}

async function printAll(run: Run, values: Rc['values']): Promise<number> {
  const lines = Object.keys(values)
    .sort()
    .map((key) => `${key}=${shown(values[key] ?? '')}\n`);
  await run.print(lines.join(''));
  return 0;
}

async function printDump(run: Run, values: Rc['values']): Promise<number> {
  await run.print(`$VAR1 = ${dumped(values, ' '.repeat(8))};\n`);
  return 0;
}

/** Where Perl shows an address there is none to show. */
function shown(value: RcValue): string {
  if (typeof value === 'string') return value;
  return isHash(value) ? 'HASH(0x0)' : 'ARRAY(0x0)';
}

/** As Perl's Data::Dumper writes it, its indents included: there are sites whose scripts read it. */
function dumped(value: RcValue, indent: string): string {
  if (typeof value === 'string') return quoted(value);
  const inner = `${indent}  `;
  if (!isHash(value)) {
    if (value.length === 0) return '[]';
    return `[\n${value.map((item) => inner + dumped(item, inner)).join(',\n')}\n${indent}]`;
  }
  const keys = Object.keys(value).sort();
  if (keys.length === 0) return '{}';
  const lines = keys.map((key) => {
    const start = `${inner}${quoted(key)} => `;
    return start + dumped(value[key] ?? '', ' '.repeat(start.length));
  });
  return `{\n${lines.join(',\n')}\n${indent}}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}
