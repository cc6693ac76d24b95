/** `VREF/VOTES/COUNT/BRANCH`: so many refs `votes/NAME/BRANCH` have to name the commit that is pushed to the branch. */
import { runGitOk } from '../../git/run.ts';
import { specOf } from './history.ts';
import { NOT_BY_HAND, type Vref } from './vref.ts';

export const VOTES: Vref = async ({ update, refex, args, place }) => {
  const [needed = '', branch = ''] = args;
  if (needed === '') return NOT_BY_HAND;
  if (update.refname !== `refs/heads/${branch}`) return {};
  const options = ['--format=%(objectname)'];
  const operands = [`refs/heads/votes/*/${branch}`];
  const spec = specOf(place, { subcommand: 'for-each-ref', options, operands });
  const oids = (await runGitOk(place.processes, spec)).toString('latin1').split('\n');
  const votes = oids.filter((oid) => oid === update.newOid).length;
  if (/^-?\d+$/.test(needed) && votes >= Number(needed)) return {};
  return { output: `${refex} require at least ${needed} votes to push ${branch}\n` };
};
