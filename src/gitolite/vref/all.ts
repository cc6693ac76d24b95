/** The virtual refs that come with gitolite, but for NAME, which is part of its core (steps/update-check.ts), and partial-copy, which needs a site. */
import { COUNT } from './count.ts';
import { EMAIL_CHECK } from './email-check.ts';
import { FILETYPE } from './file-type.ts';
import { LOCK } from './lock.ts';
import { MERGE_CHECK } from './merge-check.ts';
import { NAME_NC } from './name-nc.ts';
import { MAX_NEWBIN_SIZE } from './new-binary-size.ts';
import { REFEX_EXPR } from './refex-expr.ts';
import { VOTES } from './votes.ts';
import type { Vref } from './vref.ts';

export const BUILT_IN_VREFS: ReadonlyMap<string, Vref> = new Map([
  ['COUNT', COUNT],
  ['EMAIL-CHECK', EMAIL_CHECK],
  ['FILETYPE', FILETYPE],
  ['MAX_NEWBIN_SIZE', MAX_NEWBIN_SIZE],
  ['MERGE-CHECK', MERGE_CHECK],
  ['NAME_NC', NAME_NC],
  ['VOTES', VOTES],
  ['lock', LOCK],
  ['refex-expr', REFEX_EXPR],
]);
