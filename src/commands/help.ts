/** `help`, `COMMAND --help` and docs/commands.md, all from the same table. */
import { table } from './table.ts';
import { synopsis, type Entry, type Vocabulary } from './find.ts';
import { COMMON_FLAGS } from './arguments.ts';
import type { Flag } from './command.ts';

/** Every command in a line. */
export function helpAll(vocabulary: Vocabulary): string {
  const rows = vocabulary.entries.map((entry) => [entry.command.form, entry.command.summary]);
  return `${table(rows)}\nEach takes --json and --help: \`create --help\` explains create.\n`;
}

/** The commands that start with one word. */
export function helpFamily(entries: readonly Entry[]): string {
  return table(entries.map((entry) => [synopsis(entry), entry.command.summary]));
}

/** One command in full. */
export function helpOne(entry: Entry): string {
  const { command } = entry;
  const parts = [`usage: ${synopsis(entry)}\n`, `${command.summary}.\n`];
  for (const paragraph of command.details ?? []) parts.push(`${paragraph}\n`);
  if (command.stdin !== undefined) parts.push(`Standard input: ${command.stdin}.\n`);
  parts.push(table([...(command.flags ?? []), ...COMMON_FLAGS].map((flag) => [`  ${flagText(flag)}`, flag.meaning])));
  parts.push(`Examples:\n${command.examples.map((example) => `  ${example}\n`).join('')}`);
  parts.push(`A token needs the scope ${command.scope}.\n`);
  return parts.join('\n');
}

function flagText(flag: Flag): string {
  const names = flag.short === undefined ? flag.name : `${flag.short}, ${flag.name}`;
  return flag.value === undefined ? names : `${names} ${flag.value}`;
}

/** The body of docs/commands.md. */
export function reference(vocabulary: Vocabulary): string {
  return vocabulary.nouns.map((noun) => `## ${noun}\n\n${vocabulary.of(noun).map(section).join('\n')}`).join('\n');
}

function section(entry: Entry): string {
  const { command } = entry;
  const lines = [`### \`${command.form}\``, '', `${command.summary}.`];
  for (const paragraph of command.details ?? []) lines.push('', paragraph);
  if (command.stdin !== undefined) lines.push('', `Standard input: ${command.stdin}.`);
  if (command.flags !== undefined && command.flags.length > 0) {
    lines.push('', '| flag | meaning |', '|---|---|');
    for (const flag of command.flags) lines.push(`| \`${flagText(flag)}\` | ${flag.meaning} |`);
  }
  lines.push('', '```', ...command.examples, '```', '', `Asks: ${asks(entry)}. Token scope: ${command.scope}.`, '');
  return lines.join('\n');
}

/** The question put to policy, in words. */
function asks(entry: Entry): string {
  const { permission } = entry.command;
  switch (permission.kind) {
    case 'open':
      return 'see above';
    case 'site':
      return `administer (\`${permission.action}\`)`;
    case 'repository': {
      const action = permission.action === undefined ? '' : ` (\`${permission.action}\`)`;
      return `read, then ${permission.operation}${action} of REPO`;
    }
    default:
      return permission satisfies never;
  }
}
