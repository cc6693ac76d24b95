/** `access explain`: what policy says to a question, and every rule it looked at on the way. */
import { OPERATIONS, type ChangedPaths, type Operation, type Question } from '../access/decision.ts';
import { answerWord } from '../access/explain.ts';
import type { Explanation } from '../access/policy.ts';
import { refuse, type Parsed } from '../base/fault.ts';
import { didYouMean } from '../base/nearest.ts';
import { ANONYMOUS, type Principal } from '../identity/principal.ts';
import { parseRefname } from '../git/refname.ts';
import { parseRequestedName } from '../repository/name.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import { missingReason } from '../request/refusal.ts';
import { findReadable } from './answer.ts';
import type { Answer, Call, Command } from './command.ts';
import { shown } from './find.ts';

export const ACCESS_COMMANDS: readonly Command[] = [
  {
    form: 'access explain USER OPERATION REPO [REFNAME]',
    summary: 'Say whether USER may, and which rules were tried, with file and line',
    details: [
      `OPERATION is one of ${OPERATIONS.join(', ')}. USER may be anonymous. REFNAME is full: refs/heads/main.`,
      'Everybody may ask about themselves; about others only who owns the repository, or an administrator. Exit 0: allowed, 1: refused, or held until somebody approves.',
    ],
    flags: [
      { name: '--path', value: 'PATH', repeat: true, meaning: 'a path that the push changes' },
      { name: '--action', value: 'WORD', meaning: 'the finer word of configure and administer: config_set, useradd' },
    ],
    examples: [
      'access explain gabriella update-ref hello refs/heads/main',
      'access explain anonymous read hello',
      'access explain ian update-ref hello refs/heads/main --path src/secret.c',
    ],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'open' },
    run: explain,
  },
];

async function explain(call: Call): Promise<Answer> {
  const { args } = call;
  const operation = OPERATIONS.find((known) => known === args.text('OPERATION'));
  if (operation === undefined) {
    return {
      kind: 'usage',
      reason: `unknown operation ${shown(args.text('OPERATION'))}${didYouMean(args.text('OPERATION'), OPERATIONS)}`,
    };
  }
  const refname = args.optional('REFNAME');
  if (refname !== undefined && parseRefname(refname) === undefined) {
    return { kind: 'usage', reason: `${shown(refname)} is no full refname: refs/heads/main` };
  }
  const ofSite = await siteExplanation(call, operation);
  if (ofSite !== undefined) return ofSite;
  const about = await repositoryOf(call, operation);
  if (about.kind !== 'ok') return about;
  const subject = await subjectOf(call, about.value);
  if (subject.kind !== 'ok') return subject;
  const question = questionOf(call, { principal: subject.value, operation, repository: about.value });
  return explained(question, call.parts.policy.explain(question));
}

/** About a repository of a gitolite site, for who may hear of everybody; undefined: for the house to answer. */
async function siteExplanation(call: Call, operation: Operation): Promise<Answer | undefined> {
  const { siteAccess, policy } = call.parts;
  const user = call.args.text('USER');
  if (siteAccess === undefined) return undefined;
  const decision = call.ask({ operation: 'administer', action: 'access_explain', variables: { targetuser: user } });
  if (decision.kind === 'refused') return undefined;
  const repository = await siteAccess.facts(call.args.text('REPO'), user);
  const subject = repository && (await siteAccess.principal(user));
  if (repository === undefined || subject === undefined) return undefined;
  const question = questionOf(call, { principal: subject, operation, repository });
  return explained(question, policy.explain(question));
}

/** The repository as far as the asker may know of it; for create-repository the one to be. */
async function repositoryOf(call: Call, operation: Operation): Promise<Parsed<RepositoryFacts> | Answer> {
  const text = call.args.text('REPO');
  const found = await findReadable(call, text);
  if (found.kind === 'found') return { kind: 'ok', value: found.repository };
  const name = parseRequestedName(text);
  // One's own access to what is not there is a question like any other, and its answer is that of a phantom.
  if (operation === 'create-repository' && name.kind === 'ok') {
    return { kind: 'ok', value: { id: '', name: name.value, owner: call.args.text('USER'), settings: {} } };
  }
  return { kind: 'missing', reason: missingReason(text, name, false) };
}

/** Whom it is about. Of others, only the repository's owner and administrators hear; a stranger learns of nobody. */
async function subjectOf(call: Call, repository: RepositoryFacts): Promise<Parsed<Principal> | Answer> {
  const { principal, parts } = call;
  const user = call.args.text('USER');
  if (user === (principal.kind === 'user' ? principal.name : 'anonymous')) return { kind: 'ok', value: principal };
  const isOwner = principal.kind === 'user' && repository.id !== '' && principal.name === repository.owner;
  if (!isOwner) {
    const decision = call.ask({ operation: 'administer', action: 'access_explain', variables: { targetuser: user } });
    if (decision.kind === 'refused') return { kind: 'forbidden', decision };
  }
  if (user === 'anonymous') return { kind: 'ok', value: ANONYMOUS };
  const account = await parts.directory.users.show(user);
  const subject = account && (await parts.directory.principalOf(account.name, { kind: 'local' }));
  return subject === undefined ? refuse(`there is no active user ${shown(user)}`) : { kind: 'ok', value: subject };
}

function questionOf(
  call: Call,
  about: Pick<Question, 'principal' | 'operation'> & { readonly repository: RepositoryFacts },
): Question {
  const refname = call.args.optional('REFNAME');
  const paths = call.args.values('--path');
  const action = call.args.value('--action');
  const changed: ChangedPaths = { added: [], deleted: [], modified: paths, renamed: [] };
  const tops = [...new Set(paths.map((path) => path.split('/')[0] ?? path))];
  const ref =
    refname === undefined
      ? undefined
      : { refname, ...(paths.length === 0 ? {} : { changed, startTree: tops, targetTree: tops }) };
  return { ...about, ...(action === undefined ? {} : { action }), ...(ref === undefined ? {} : { ref }) };
}

function explained(question: Question, explanation: Explanation): Answer {
  const { decision, steps, text } = explanation;
  const json = {
    user: question.principal.kind === 'user' ? question.principal.name : 'anonymous',
    operation: question.operation,
    repository: question.repository?.name ?? null,
    refname: question.ref?.refname ?? null,
    decision: answerWord(decision),
    reason: decision.reason,
    rule: decision.rule ?? null,
    trace: steps.map((step) => ({ ...step, because: step.because ?? null })),
  };
  return { kind: 'done', json, text, exit: decision.kind === 'allowed' ? 0 : 1 };
}
