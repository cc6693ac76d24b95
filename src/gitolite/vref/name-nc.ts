/** `VREF/NAME_NC/...`: the names of files that new commits change, where NAME would see all of a new branch's. */
import { isZeroOid } from '../../git/oid.ts';
import { quotePath } from '../../access/gitolite/quoted-path.ts';
import { newNames } from './history.ts';
import type { Vref } from './vref.ts';

export const NAME_NC: Vref = async (question) => {
  const { newOid } = question.update;
  if (isZeroOid(newOid)) return { said: "we don't currently handle deletions\n", code: 1 };
  const names = await newNames({ ...question, tip: newOid }, { hasOldNames: true });
  const quoted = [...names].map(quotePath).sort();
  return { output: quoted.map((name) => `VREF/NAME_NC/${name}\n`).join('') };
};
