/** `whoami`, `help`, `ls`, `info`: who one is, what one may read, what there is to say. */
import { refuse } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import { passJson } from '../identity/pass-record.ts';
import { describeScope } from '../identity/pass-scope.ts';
import { describeCredential, type Credential, type Principal } from '../identity/principal.ts';
import { done, type Answer, type Call, type Command } from './command.ts';
import { shown, synopsis, type Entry } from './find.ts';
import { helpAll, helpFamily, helpOne, reference } from './help.ts';
import { list } from './list.ts';
import { fields, shortTime } from './table.ts';

export const SELF_COMMANDS: readonly Command[] = [
  {
    form: 'whoami',
    summary: 'Say who you are to this gate',
    examples: ['whoami', 'whoami --json'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'site', action: 'whoami' },
    async run(call: Call): Promise<Answer> {
      return done(principalJson(call.principal), principalText(call.principal));
    },
  },
  {
    form: 'help [COMMAND…]',
    summary: 'List the commands, or explain one',
    flags: [{ name: '--markdown', meaning: 'the whole reference, as in docs/commands.md' }],
    examples: ['help', 'help user', 'help user add'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'open' },
    run: async (call: Call) => help(call),
  },
  {
    form: 'ls [PATTERN]',
    summary: 'List the repositories that you may read',
    details: [
      'PATTERN is a name, a folder (everything below it is listed), or a pattern with * and ?.',
      'R: you may read; RW: write too; a star: you own it.',
      'Where a gitolite site is served, its repositories are listed as well.',
    ],
    flags: [{ name: '--verbose', short: '-v', meaning: 'owner and description too' }],
    examples: ['ls', 'ls -v team', "ls 'team/*-api'"],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'open' },
    run: list,
  },
  {
    form: 'info',
    summary: 'Say what this gate is and where it listens',
    examples: ['info'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'open' },
    async run({ parts, principal }: Call): Promise<Answer> {
      const urls = parts.urls();
      const name = principal.kind === 'user' ? principal.name : 'anonymous';
      const rows = Object.entries(urls);
      const text = fields([['Gatehouse', parts.version], ['you are', name], ...rows]);
      return done({ version: parts.version, you: name, urls: { ...urls } }, text);
    },
  },
  {
    form: 'as USER COMMAND…',
    summary: 'Run a command as another user, for administrators',
    details: [
      'Rules see both, USER and who asks; the journal too. It does not nest.',
      'Who may not act as others is told so, whether there is such a user or not.',
    ],
    examples: ['as ian sshkey add laptop < ian.pub', 'as ian ls'],
    scope: 'admin',
    permission: { kind: 'site', action: 'as', variables: { targetuser: 'USER' } },
    // The runner takes `as` apart before it looks for the command behind it: it needs what stands there.
    run: async (): Promise<Answer> => ({ kind: 'usage', reason: 'COMMAND is missing' }),
  },
];

function principalJson(principal: Principal): Json {
  if (principal.kind === 'anonymous') return { name: 'anonymous', groups: [] };
  const { name, realName, email, account, groups, credential, asking } = principal;
  return {
    name,
    realName,
    email,
    account,
    groups: [...groups].toSorted(),
    credential: describeCredential(credential),
    ...(credential.kind === 'token' ? { scopes: credential.scopes } : {}),
    ...(credential.kind === 'pass' ? { pass: passJson(credential) } : {}),
    ...(asking === undefined ? {} : { asking: asking.name }),
  };
}

function principalText(principal: Principal): string {
  if (principal.kind === 'anonymous') return 'anonymous\n';
  const { name, realName, email, account, groups, credential, asking } = principal;
  return fields([
    ['user', account === 'ci' ? `${name} (ci)` : name],
    ['real name', realName],
    ['e-mail', email],
    ['groups', [...groups].toSorted().join(' ')],
    ['logged in with', describeCredential(credential)],
    ...passRows(credential),
    ...(asking === undefined ? [] : [['asking', asking.name] as const]),
  ]);
}

function passRows(credential: Credential): readonly (readonly [string, string])[] {
  if (credential.kind !== 'pass') return [];
  const { scope, expiresAt } = credential;
  const from = scope.from.length === 0 ? [] : [['only from', scope.from.join(', ')] as const];
  return [['may', describeScope(scope)], ['until', shortTime(expiresAt)], ...from];
}

function help(call: Call): Answer {
  const { vocabulary, args } = call;
  if (args.has('--markdown')) return { kind: 'done', text: reference(vocabulary) };
  const words = args.words('COMMAND');
  const all = vocabulary.entries;
  if (words.length === 0) {
    return done(
      all.map(({ command }) => ({ form: command.form, summary: command.summary })),
      helpAll(vocabulary),
    );
  }
  const family = vocabulary.of(words[0] ?? '');
  if (family.length === 0) return refuse(`there is no command ${shown(words.join(' '))}; help lists them`);
  const found = family.filter((entry) => {
    const small = entry.places.flatMap((place) => (place.kind === 'word' ? [place.word] : []));
    return words.every((word, index) => small[index] === word || index >= small.length);
  });
  const [only] = found;
  if (only !== undefined && found.length === 1) return done(entryJson(only), helpOne(only));
  const several = found.length > 0 ? found : family;
  return done(several.map(entryJson), helpFamily(several));
}

function entryJson(entry: Entry): Json {
  const { form, summary, flags = [], examples, scope } = entry.command;
  const shownFlags = flags.map(({ name, value, meaning }) => ({ name, value: value ?? null, meaning }));
  return { form, synopsis: synopsis(entry), summary, flags: shownFlags, examples, scope };
}
