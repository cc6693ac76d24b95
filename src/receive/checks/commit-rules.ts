/** What commits and tags say of themselves, against the rules of a check: people, signatures, messages. */
import type { Signed } from '../../identity/signatures.ts';
import type { CheckRules } from './check.ts';
import type { PushPeople } from './people.ts';
import {
  parseCommit,
  parseTag,
  subjectOf,
  trailersOf,
  type CommitObject,
  type Ident,
  type ObjectSignature,
} from './signed-object.ts';
import type { TextPattern } from './text-pattern.ts';

/** One commit, read once, whatever number of checks ask about it. */
export class CommitReading {
  readonly #people: PushPeople;
  readonly #read: ReturnType<typeof parseCommit>;
  #signed: Promise<Signed> | undefined;

  constructor(people: PushPeople, bytes: Buffer, format: 'sha1' | 'sha256') {
    this.#people = people;
    this.#read = parseCommit(bytes, format);
  }

  /** What is wrong, each in words that follow "commit ...: ". */
  async problems(rules: CheckRules): Promise<readonly string[]> {
    if (this.#read.kind === 'refused') return [this.#read.reason];
    const commit = this.#read.value;
    const problems = await identProblems(this.#people, rules, commit);
    if (rules.commitsSigned !== undefined) {
      const signed = commit.signed === undefined ? undefined : await this.#verify(commit.signed);
      const asked = { format: rules.commitsSigned, by: rules.signedBy, committer: commit.committer };
      problems.push(this.#people.signatureProblem(signed, asked));
    }
    problems.push(...messageProblems(rules, commit));
    return problems.filter((problem) => problem !== undefined);
  }

  #verify(signature: ObjectSignature): Promise<Signed> {
    this.#signed ??= this.#people.verify(signature);
    return this.#signed;
  }
}

async function identProblems(
  people: PushPeople,
  rules: CheckRules,
  { author, committer }: CommitObject,
): Promise<(string | undefined)[]> {
  const asked = [
    ['author', 'email', author, rules.authorEmail],
    ['author', 'name', author, rules.authorName],
    ['committer', 'email', committer, rules.committerEmail],
    ['committer', 'name', committer, rules.committerName],
  ] as const;
  const problems: (string | undefined)[] = [];
  for (const [role, field, ident, accepted] of asked) {
    const problem = accepted === undefined ? undefined : await people.problem(field, ident, accepted);
    if (problem !== undefined) problems.push(`the ${role}'s ${problem}`);
  }
  return problems;
}

/** A tag that is an object. */
export async function tagProblems(people: PushPeople, rules: CheckRules, bytes: Buffer): Promise<readonly string[]> {
  const read = parseTag(bytes);
  if (read.kind === 'refused') return [`the tag ${read.reason}`];
  const { tagger, signed } = read.value;
  const problems: string[] = [];
  if (rules.taggerEmail !== undefined) {
    const problem = tagger === undefined ? 'is missing' : await people.problem('email', tagger, rules.taggerEmail);
    if (problem !== undefined)
      problems.push(tagger === undefined ? 'the tag has no tagger' : `the tagger's ${problem}`);
  }
  if (rules.tagsSigned !== undefined) {
    const facts = signed === undefined ? undefined : await people.verify(signed);
    const asked = { format: rules.tagsSigned, by: rules.signedBy, committer: tagger };
    const problem = people.signatureProblem(facts, asked);
    if (problem !== undefined) problems.push(`the tag ${problem}`);
  }
  return problems;
}

const MESSAGE_RULES = [
  'subject',
  'subjectCharsMax',
  'message',
  'messageRefuse',
  'forbiddenWords',
  'messageLineCharsMax',
  'trailers',
  'signedOffBy',
] as const;

function messageProblems(rules: CheckRules, commit: CommitObject): readonly (string | undefined)[] {
  if (MESSAGE_RULES.every((key) => rules[key] === undefined)) return [];
  if (commit.message.kind === 'refused') return [commit.message.reason];
  const message = commit.message.value;
  const subject = subjectOf(message);
  return [
    ...(rules.subject ?? []).map((pattern) => wanted('subject', pattern, subject)),
    ...(rules.message ?? []).map((pattern) => wanted('message', pattern, message)),
    ...(rules.messageRefuse ?? []).map((pattern) => unwanted('has what is not wanted in a message', pattern, message)),
    ...(rules.forbiddenWords ?? []).map((pattern) => unwanted('has a forbidden word in its message', pattern, message)),
    lengthProblem(rules, message, subject),
    ...trailerProblems(rules, commit, message),
  ];
}

function wanted(what: string, pattern: TextPattern, text: string): string | undefined {
  const found = pattern.find(text);
  if (found === undefined) return `its ${what} takes too long to match with ${pattern.text}`;
  return found ? undefined : `its ${what} does not match ${pattern.text}`;
}

function unwanted(what: string, pattern: TextPattern, text: string): string | undefined {
  return pattern.find(text) === false ? undefined : `${what}: ${pattern.text}`;
}

function lengthProblem(rules: CheckRules, message: string, subject: string): string | undefined {
  const { subjectCharsMax, messageLineCharsMax } = rules;
  const { length } = Array.from(subject);
  if (subjectCharsMax !== undefined && length > subjectCharsMax) {
    return `its subject has ${length} characters: at most ${subjectCharsMax} are taken`;
  }
  if (messageLineCharsMax === undefined) return undefined;
  const long = message.split('\n').findIndex((line) => Array.from(line).length > messageLineCharsMax);
  return long < 0 ? undefined : `line ${long + 1} of its message has more than ${messageLineCharsMax} characters`;
}

function trailerProblems(rules: CheckRules, commit: CommitObject, message: string): readonly (string | undefined)[] {
  if (rules.trailers === undefined && rules.signedOffBy === undefined) return [];
  const trailers = trailersOf(message);
  const has = (wantedKey: string): boolean =>
    trailers.some(({ key, value }) => key.toLowerCase() === wantedKey.toLowerCase() && value !== '');
  const missing = (rules.trailers ?? []).map((key) => (has(key) ? undefined : `has no trailer ${key}`));
  const { signedOffBy } = rules;
  if (signedOffBy === undefined) return missing;
  return [...missing, signOffProblem(trailers, signedOffBy, commit[signedOffBy])];
}

function signOffProblem(
  trailers: ReturnType<typeof trailersOf>,
  role: 'author' | 'committer',
  { email }: Ident,
): string | undefined {
  const signers = trailers
    .filter(({ key }) => key.toLowerCase() === 'signed-off-by')
    .map(({ value }) => /<([^<>]*)>$/.exec(value)?.[1]?.toLowerCase());
  return signers.includes(email.toLowerCase()) ? undefined : `has no Signed-off-by of its ${role} <${email}>`;
}
