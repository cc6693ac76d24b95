/** Commands that cannot be undone: the first call says what will happen and gives a token, the second does it. */
import { BOUNDS } from '../base/bounds.ts';
import { formatDuration } from '../base/units.ts';
import type { Confirmable } from '../identity/confirmations.ts';
import type { Answer, Call } from './command.ts';

export interface Deed {
  readonly action: string;
  readonly subject: Confirmable['subject'];
  /** What will happen, a sentence a line. */
  readonly consequences: readonly string[];
}

/** Undefined: confirmed, go on. Else the answer to give: the question with its token, or why the token is not good. */
export async function confirm(call: Call, deed: Deed): Promise<Answer | undefined> {
  const { confirmations } = call.parts.directory;
  const about = { action: deed.action, subject: deed.subject, principal: call.principal };
  const token = call.args.optional('TOKEN');
  if (token !== undefined) {
    const accepted = await confirmations.accept({ ...about, token });
    return accepted.kind === 'refused' ? accepted : undefined;
  }
  const issued = await confirmations.issue(about);
  const within = formatDuration(BOUNDS.confirmationMs);
  const text = `${deed.consequences.join('\n')}\nNothing has happened yet. To do it, give the same command within ${within} with this word at its end: ${issued}\n`;
  return { kind: 'done', json: { confirm: issued, consequences: deed.consequences }, text };
}
