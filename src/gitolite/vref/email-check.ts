/**
 * `VREF/EMAIL-CHECK[/DOMAIN]`: every new commit's author is who pushes. Gitolite's own has its domain written into the
 * program, which each site has to change; here a rule can name another.
 */
import { commitText, newCommits } from './history.ts';
import type { Vref } from './vref.ts';

const DOMAIN = 'atc.tcs.com';
const SHORT_OID = 7;

export const EMAIL_CHECK: Vref = async (question) => {
  const { update, user, args, place } = question;
  const [domain = DOMAIN] = args;
  for (const oid of await newCommits({ ...question, tip: update.newOid })) {
    const commit = await commitText(place, oid);
    if (commit === undefined || commit.authorEmail === `${user}@${domain}`) continue;
    const said = `${user}, you can't push ${oid.slice(0, SHORT_OID)} authored by ${commit.authorEmail}\n`;
    return { said: `${said}\t(subject of commit was ${commit.subject})\n`, code: 255 };
  }
  return {};
};
