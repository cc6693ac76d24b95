/** `VREF/COUNT/MAX[/NEWFILES|/NO_SIGNOFF]`: how many files a push may change, or add. */
import { commitText, newNames } from './history.ts';
import { NOT_BY_HAND, type Vref } from './vref.ts';

export const COUNT: Vref = async (question) => {
  const { update, refex, args, place } = question;
  const [max = '', kind = ''] = args;
  if (max === '') return NOT_BY_HAND;
  const isAddedOnly = kind === 'NEWFILES' || kind === 'NO_SIGNOFF';
  const { size: count } = await newNames({ ...question, tip: update.newOid }, { isAddedOnly });
  // What is no number is never exceeded, as in the test of a shell.
  if (!/^\d+$/.test(max) || count <= Number(max)) return {};
  if (kind !== 'NO_SIGNOFF') {
    return { output: `${refex} (too many ${isAddedOnly ? 'new' : 'changed'} files in this push)\n` };
  }
  const commit = await commitText(place, update.newOid);
  const email = commit?.authorEmail ?? '';
  if (signOff(`${count} +new +files`, email).test(commit?.text ?? '')) return {};
  return {
    output: `${refex} top commit message should include the text '${count} new files signed-off by: ${email}'\n`,
  };
};

/** A line that says who takes responsibility. @param what a pattern. */
export function signOff(what: string, email: string): RegExp {
  return new RegExp(`^ *${what} +signed-off by: *${RegExp.escape(email)} *$`, 'im');
}
