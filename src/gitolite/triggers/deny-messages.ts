/** `expand-deny-messages`: a refusal said at length, for people who do not read gitolite's short form. */
import { findProgram } from '../programs.ts';
import type { TriggerPoint } from '../rc.ts';
import type { Run } from '../run.ts';
import { readSmallFile } from '../small-file.ts';
import type { BuiltInTrigger } from './trigger.ts';

const NO_OBJECT = /^0{40,64}$/;
const NAME_REF = 'VREF/NAME/';

const OPERATIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ACCESS_1: { R: 'Repo read', W: 'Repo write' },
  ACCESS_2: {
    W: 'Fast forward push',
    '+': 'Rewind push branch or overwrite tag',
    C: 'Create ref',
    D: 'Delete ref',
  },
};

export const DENY_MESSAGES: BuiltInTrigger = {
  name: 'expand-deny-messages',
  async run(run, { point, args: [repository = '', user = '', attempt = '', ref = '', result = '', before, after] }) {
    if (point !== 'ACCESS_1' && point !== 'ACCESS_2') return;
    if (!result.includes('DENIED') || isSet(run.env['GL_OPTION_EDM_DISABLE'])) return;
    const rows: (readonly [string, string])[] = [
      ['Repo', repository],
      ['User', user],
      ['Stage', point === 'ACCESS_1' ? 'Before git was called' : "From git's update hook"],
      ...(point === 'ACCESS_2' ? [['Ref', refText(ref)] as const] : []),
      ['Operation', operationText({ point, attempt, before, after })],
    ];
    const table = rows.map(([name, value]) => `${name.padEnd(14)}  ${value.padEnd(60)}\n`).join('');
    const extra = run.env['GL_OPTION_EDM_EXTRA_INFO'];
    const more = isSet(extra) ? `${extra}\n\n` : '';
    await run.warn(`\nFATAL -- ACCESS DENIED\n${table}${await virtualRefText(run, ref)}\n${more}`);
  },
};

function refText(ref: string): string {
  for (const [prefix, word] of [
    ['VREF/', 'VREF'],
    ['refs/heads/', 'Branch'],
    ['refs/tags/', 'Tag'],
  ] as const) {
    if (ref.startsWith(prefix)) return `${word} '${ref.slice(prefix.length)}'`;
  }
  return `Non-standard ref '${ref}'`;
}

interface Attempted {
  readonly point: TriggerPoint;
  readonly attempt: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** What was really attempted: a conf that is not strict about creating asks for a plain write. */
function operationText({ point, attempt, before, after }: Attempted): string {
  const merge = attempt.includes('M') ? ' with merge commit' : '';
  let what = attempt.replace('M', '');
  if (before !== undefined && NO_OBJECT.test(before)) what = 'C';
  if (after !== undefined && NO_OBJECT.test(after)) what = 'D';
  return `${OPERATIONS[point]?.[what] ?? `Unknown operation '${what}'`}${merge}`;
}

/** A site's own program may hold an explanation for people between two marks. */
async function virtualRefText(run: Run, ref: string): Promise<string> {
  if (ref.startsWith(NAME_REF)) return `You're apparently not allowed to push '${ref.slice(NAME_REF.length)}'`;
  const name = /^VREF\/([^/]+)/.exec(ref)?.[1];
  if (name === undefined) return '';
  const file = await findProgram(run.rc, 'VREF', name);
  const text = file === undefined ? undefined : await readSmallFile(file);
  const mark = '(?:help|explain|explanation)';
  const found = new RegExp(`^\\s*# ${mark}.start\\n([^]*)^\\s*# ${mark}.end\\n`, 'm').exec(text ?? '')?.[1];
  return found === undefined ? '' : `Explanation for VREF/${name}:\n${found}`;
}

function isSet(text: string | undefined): text is string {
  return text !== undefined && text !== '' && text !== '0';
}
