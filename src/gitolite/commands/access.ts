/** `gitolite access`: what the conf says about one user and one repository, or many. */
import type { Access, Attempt } from '../../access/gitolite/conf-access.ts';
import { isRefWord, isTrue } from '../../access/gitolite/words.ts';
import { askCommand, decided, type Decided } from '../ask.ts';
import { inputLines } from '../input.ts';
import type { Run } from '../run.ts';
import { dies } from '../words.ts';
import { BATCH_BYTES_MAX, batchWords, Pages } from './batch.ts';
import type { SiteCommand } from './command.ts';

const USAGE = `Usage:  gitolite access [-q|-s] REPOSITORY USER [PERMISSION [REF]]

What the conf says: the refex that allows it, or a line with DENIED in it.

    PERMISSION  R, W, +, C, D, M, or ^C for the creation of a repository (GL_USER is then the creator). Default: +
    REF         a branch, a full ref, or a virtual one. Default: any, as before a ref is known: rules that
                refuse are not looked at, unless the repository has the option deny-rules
    -q          only the exit code: 0 where it is allowed
    -s          each rule that was looked at, with its file, its line and what became of it

With % for REPOSITORY or USER, what stands for it is read from standard input, a line each; the answers are
REPOSITORY<tab>USER<tab>ANSWER. PERMISSION and REF may be % too, as in later releases of gitolite than 3.6.12:
the answers are then REPOSITORY<tab>USER<tab>PERMISSION<tab>REF<tab>ANSWER.
`;

interface Asked {
  readonly repository: string;
  readonly user: string;
  readonly attempt: Attempt;
  readonly ref: string;
}

export const access: SiteCommand = {
  name: 'access',
  summary: 'show what the conf allows',
  usage: USAGE,
  async run(run, args) {
    const { switches, words } = perlSwitches(args);
    const [repository = '', user = '', permission, written] = words;
    if (words.length < 2 || switches.has('h')) {
      await run.print(USAGE);
      return 1;
    }
    if (permission === '%' || written === '%') {
      refuseInBatch(switches);
      return wideBatch(run, [repository, user, permission, written]);
    }
    const asked = { repository, user, attempt: attemptOf(permission), ref: refOf(written) };
    if (repository === '%' || user === '%') {
      refuseInBatch(switches);
      return batch(run, asked);
    }
    return single(run, asked, switches);
  },
};

function refuseInBatch(switches: ReadonlySet<string>): void {
  if (switches.has('q') || switches.has('s')) throw dies("'-q' and '-s' meaningless in pipe mode");
}

async function single(run: Run, asked: Asked, switches: ReadonlySet<string>): Promise<number> {
  const answer = decided(await askCommand(run, asked));
  if (switches.has('s')) await show(run, answer);
  const text = asked.ref.startsWith('VREF/')
    ? answer.text.replace('DENIED by fallthru', 'allowed by fallthru')
    : answer.text;
  if (!switches.has('q')) await run.print(`${text}\n`);
  return text.includes('DENIED') ? 1 : 0;
}

async function batch(run: Run, { repository, user, attempt, ref }: Asked): Promise<number> {
  const pages = new Pages(run);
  for await (const line of inputLines(run, BATCH_BYTES_MAX)) {
    const words = batchWords(line);
    const asked = {
      repository: repository === '%' ? (words.shift() ?? '') : repository,
      user: user === '%' ? (words.shift() ?? '') : user,
      attempt,
      ref,
    };
    await pages.during(async () => {
      const { text } = decided(await askCommand(run, asked));
      return `${asked.repository}\t${asked.user}\t${text}\n`;
    });
  }
  await pages.flush();
  return 0;
}

/** What gitolite 3.6.12 refuses and later ones know: the permission, the ref or both stand in each line, too. */
async function wideBatch(run: Run, columns: readonly (string | undefined)[]): Promise<number> {
  const pages = new Pages(run);
  for await (const line of inputLines(run, BATCH_BYTES_MAX)) {
    const words = batchWords(line);
    const [repository = '', user = '', permission, written] = columns.map((one) => (one === '%' ? words.shift() : one));
    await pages.during(async () => {
      const asked = { repository, user, attempt: attemptOf(permission), ref: refOf(written) };
      const { text } = decided(await askCommand(run, asked));
      return `${repository}\t${user}\t${asked.attempt}\t${asked.ref}\t${text}\n`;
    });
  }
  await pages.flush();
  return 0;
}

/** `perl -s`: switches stand in front, and may have a value; one that is false in Perl leaves them off. */
function perlSwitches(args: readonly string[]): {
  readonly switches: ReadonlySet<string>;
  readonly words: readonly string[];
} {
  const switches = new Set<string>();
  for (const [at, arg] of args.entries()) {
    if (arg === '--') return { switches, words: args.slice(at + 1) };
    if (!/^-./.test(arg)) return { switches, words: args.slice(at) };
    const [name = '', value = '1'] = arg.slice(1).split(/=(.*)/s);
    if (isTrue(value)) switches.add(name);
    else switches.delete(name);
  }
  return { switches, words: [] };
}

function attemptOf(text = ''): Attempt {
  switch (text) {
    case '':
    case '0':
      return '+';
    case 'R':
    case 'W':
    case '+':
    case 'C':
    case 'D':
    case 'M':
    case '^C':
      return text;
    default:
      throw dies('invalid perm');
  }
}

function refOf(text = ''): string {
  const ref = fullRef(text);
  if (!isRefWord(ref)) throw dies('invalid ref name');
  return ref;
}

function fullRef(text: string): string {
  if (text === '' || text === '0' || text === 'any') return 'any';
  return /^(?:refs|VREF)\//.test(text) ? text : `refs/heads/${text}`;
}

const LEGEND = `legend:
    d => skipped deny rule due to ref unknown or 'any',
    r => skipped due to refex not matching,
    p => skipped due to perm (W, +, etc) not matching,
    D => explicitly denied,
    A => explicitly allowed,
    F => fallthru; access denied for normal refs, allowed for VREFs

`;

type Fate = Extract<Access, { readonly kind: 'denied' }>['steps'][number]['fate'];

const LETTERS: Readonly<Record<Fate, string>> = {
  'ref unknown': 'd',
  'ref differs': 'r',
  'permission differs': 'p',
  refuses: 'D',
  allows: 'A',
};

async function show(run: Run, answer: Decided): Promise<void> {
  if (answer.kind === 'denied' && answer.by === 'existence') throw dies("repo already exists; ^C won't work\n");
  const { texts } = (await run.site.conf(run.rc)).compiled;
  await run.warn(LEGEND);
  const lines = answer.steps.map(({ rule: { file, line }, fate }) => {
    const place = `${file.padStart(20)}:${String(line).padEnd(6)}`;
    return `  ${LETTERS[fate]} ${place} ${texts.get(file)?.[line - 1] ?? ''}\n`;
  });
  if (answer.kind === 'denied' && answer.by === 'fallthru') lines.push(`  F ${'(fallthru)'.padStart(20)}\n`);
  await run.print(`${lines.join('')}\n`);
}
