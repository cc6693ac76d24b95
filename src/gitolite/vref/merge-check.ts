/** `VREF/MERGE-CHECK[/BRANCH]`: no merge among what an update brings. */
import { compilePerl } from '../../access/gitolite/perl-pattern.ts';
import { isTrue } from '../../access/gitolite/words.ts';
import { Meter } from '../../access/meter.ts';
import { bringsMerge } from '../../git/objects.ts';
import { isZeroOid } from '../../git/oid.ts';
import type { Vref } from './vref.ts';

export const MERGE_CHECK: Vref = async ({ update, refex, args: [branch = ''], place }) => {
  const { refname, oldOid, newOid } = update;
  const wanted = !isTrue(branch) ? 'refs/.*' : branch.startsWith('refs/') ? branch : `refs/heads/${branch}`;
  const pattern = compilePerl(`^${wanted}`);
  if (pattern.kind === 'wrong') return { said: `${refex}: ${pattern.message}\n`, code: 255 };
  if (!pattern.pattern.find(refname, new Meter())) return {};
  if (isZeroOid(oldOid) || isZeroOid(newOid))
    return { said: 'ref create/delete ignored for purposes of merge-check\n' };
  return (await bringsMerge(place, oldOid, newOid)) ? { output: `${refex} FATAL: merge commits not allowed\n` } : {};
};
