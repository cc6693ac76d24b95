/** What the rules see of one question: the question in Gitano's words, and the budget for answering it. */
import type { Operation, Question } from '../decision.ts';
import type { Meter } from '../meter.ts';

export interface Asked {
  readonly question: Question;
  /** The rule variable `operation`: `createref`, `config_set`, ... */
  readonly word: string;
  readonly meter: Meter;
}

/** Gitano's words. `configure` and `administer` stand for themselves where no finer action is asked about. */
const WORDS = {
  read: 'read',
  write: 'write',
  'create-ref': 'createref',
  'update-ref': 'updaterefff',
  'rewind-ref': 'updaterefnonff',
  'delete-ref': 'deleteref',
  'create-repository': 'createrepo',
  'destroy-repository': 'destroyrepo',
  'rename-repository': 'renamerepo',
  configure: 'configure',
  administer: 'administer',
} as const satisfies Record<Operation, string>;

/** The word of a question about one ref's visibility; not one of Gitano's. */
export const READ_REF = 'readref';

export function operationWord(question: Question): string {
  const { operation, action } = question;
  if (action !== undefined && (operation === 'configure' || operation === 'administer')) return action;
  return WORDS[operation];
}
