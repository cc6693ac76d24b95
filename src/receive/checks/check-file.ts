/** `checks/*.toml`: tables `[[check]]`, read strictly. Whatever is wrong is said at once, with file and line. */
import { parse } from 'smol-toml';
import { fileProblem, type Problem } from '../../access/problem.ts';
import { BOUNDS } from '../../base/bounds.ts';
import type { Parsed } from '../../base/fault.ts';
import { didYouMean } from '../../base/nearest.ts';
import { ACCOUNTS } from '../../identity/user-record.ts';
import { UPDATE_KINDS } from '../step.ts';
import { CHECK_ACTIONS, SIGNED_WITH, SIGNERS, type Check, type CheckRules, type Whom } from './check.ts';
import { CheckTable } from './check-table.ts';
import { compileTextPattern, compileWord, type TextPattern } from './text-pattern.ts';

export type CheckFile =
  | { readonly kind: 'ok'; readonly checks: readonly Check[] }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[] };

export function isCheckPath(path: string): boolean {
  return /^checks\/[^/]+\.toml$/.test(path);
}

/** Never throws. */
export function readCheckFile(file: string, text: string): CheckFile {
  let top: Record<string, unknown>;
  try {
    top = parse(text);
  } catch (error) {
    return { kind: 'wrong', problems: [tomlProblem(file, text, error)] };
  }
  const problems: Problem[] = [];
  for (const key of Object.keys(top)) {
    if (key !== 'check') problems.push(fileProblem(file, `there is no key ${key}${didYouMean(key, ['check'])}`));
  }
  const tables = top['check'] ?? [];
  if (!Array.isArray(tables)) problems.push(fileProblem(file, 'a check begins with [[check]]'));
  if (problems.length > 0 || !Array.isArray(tables)) return { kind: 'wrong', problems };
  const lines = text.split('\n');
  const starts = headerLines(lines);
  const checks = tables.flatMap((table: unknown, index): readonly Check[] => {
    if (typeof table !== 'object' || table === null) {
      problems.push(fileProblem(file, 'a check begins with [[check]]'));
      return [];
    }
    // Where the lines cannot be told from texts that look like them, none is named.
    const line = starts.length === tables.length ? (starts[index] ?? 0) : 0;
    const reader = new CheckTable(table, { file, lines, line });
    const check = readCheck(reader, { file, line });
    problems.push(...reader.problems);
    return check === undefined ? [] : [check];
  });
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'ok', checks };
}

function readCheck(table: CheckTable, place: Pick<Check, 'file' | 'line'>): Check | undefined {
  const name = table.text('name') ?? '';
  if (name === '' || /[\p{Cc}\p{Cf}\u2028\u2029]/u.test(name) || name.length > NAME_CHARS_MAX) {
    table.problem('name', `every check has a name, one line of up to ${NAME_CHARS_MAX} characters`);
  } else table.name(`check ${name}`);
  const repositories = table.texts('repositories');
  if (repositories === undefined || repositories.length === 0) {
    table.problem('repositories', 'says no repositories: repositories = ["team/*"], or ["*"] for all');
  }
  const knownCommits = table.texts('known-commits') ?? [];
  if (!knownCommits.every((oid) => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(oid))) {
    table.problem('known-commits', 'known-commits are whole object names');
  }
  const check: Check = {
    ...place,
    name,
    repositories: repositories ?? [],
    exceptRepositories: table.texts('except-repositories') ?? [],
    refs: readRefs(table, 'refs') ?? [],
    exceptRefs: readRefs(table, 'except-refs') ?? [],
    whom: readWhom(table),
    action: table.word('action', CHECK_ACTIONS) ?? 'refuse',
    newTo: table.word('new-to', ['refs', 'repository']) ?? 'refs',
    knownCommits,
    rules: readRules(table),
  };
  table.finish();
  const asked = Object.entries(check.rules).filter(([key, value]) => key !== 'signedBy' && value !== false);
  if (asked.length === 0 && table.problems.length === 0) table.problem(undefined, 'asks for nothing');
  return table.problems.length === 0 ? check : undefined;
}

const NAME_CHARS_MAX = 100;

function readWhom(table: CheckTable): Whom {
  return {
    users: table.texts('users') ?? [],
    groups: table.texts('groups') ?? [],
    accounts: table.words('accounts', ACCOUNTS) ?? [],
    exceptUsers: table.texts('except-users') ?? [],
    exceptGroups: table.texts('except-groups') ?? [],
  };
}

function readRules(table: CheckTable): CheckRules {
  return defined({
    authorEmail: table.texts('author-email'),
    authorName: table.texts('author-name'),
    committerEmail: table.texts('committer-email'),
    committerName: table.texts('committer-name'),
    taggerEmail: table.texts('tagger-email'),
    commitsSigned: table.word('commits-signed', SIGNED_WITH),
    tagsSigned: table.word('tags-signed', SIGNED_WITH),
    signedBy: table.word('signed-by', SIGNERS) ?? 'user',
    pushCertificate: table.flag('push-certificate'),
    subject: readPatterns(table, 'subject', compileTextPattern),
    subjectCharsMax: table.count('subject-chars-max'),
    message: readPatterns(table, 'message', compileTextPattern),
    messageRefuse: readPatterns(table, 'message-refuse', compileTextPattern),
    forbiddenWords: readPatterns(table, 'forbidden-words', compileWord),
    messageLineCharsMax: table.count('message-line-chars-max'),
    trailers: readTrailers(table),
    signedOffBy: table.word('signed-off-by', ['author', 'committer']),
    pathsRefuse: table.texts('paths-refuse'),
    pathsOnly: table.texts('paths-only'),
    extensionsRefuse: readExtensions(table, 'extensions-refuse'),
    extensionsOnly: readExtensions(table, 'extensions-only'),
    executablesOnly: table.texts('executables-only'),
    submodulesOnly: table.texts('submodules-only'),
    symlinks: table.word('symlinks', ['inside', 'none']),
    caseCollisions: table.word('case-collisions', ['refuse']) !== undefined,
    pathBytesMax: table.bytes('path-bytes-max'),
    nameBytesMax: table.bytes('name-bytes-max'),
    fileBytesMax: table.bytes('file-bytes-max'),
    binaryBytesMax: table.bytes('binary-bytes-max'),
    commitsMax: table.count('commits-max'),
    merges: table.word('merges', ['none', 'only']),
    emptyCommits: table.word('empty-commits', ['refuse']) !== undefined,
    basedOn: readRefs(table, 'based-on'),
    within: readRefs(table, 'within'),
    changesRefuse: table.words('changes-refuse', UPDATE_KINDS),
    refNames: readPatterns(table, 'ref-names', compileTextPattern),
    tags: table.word('tags', ['annotated', 'lightweight']),
  });
}

type Optional<T> = { readonly [K in keyof T]: T[K] | undefined };

/** Without the keys that have no value. */
function defined<T extends object>(value: Optional<T>): T {
  return Object.fromEntries(Object.entries(value).filter(([, found]) => found !== undefined)) as T; // what is left is T
}

/** A pattern that begins otherwise can match no ref, and the check would hold nowhere. */
function readRefs(table: CheckTable, key: string): readonly string[] | undefined {
  const refs = table.texts(key);
  const wrong = refs?.find((pattern) => !/^(?:refs\/|\*)/.test(pattern));
  if (wrong !== undefined) table.problem(key, `${key}: a ref begins with refs/: refs/heads/${wrong}, not ${wrong}`);
  return refs;
}

function readPatterns(
  table: CheckTable,
  key: string,
  compile: (text: string) => Parsed<TextPattern>,
): readonly TextPattern[] | undefined {
  return table.texts(key)?.flatMap((text) => {
    const compiled = compile(text);
    if (compiled.kind === 'ok') return [compiled.value];
    table.problem(key, `${key}: ${text}: ${compiled.reason}`);
    return [];
  });
}

function readTrailers(table: CheckTable): readonly string[] | undefined {
  const trailers = table.texts('trailers');
  if (trailers?.every((key) => /^[A-Za-z0-9-]{1,64}$/.test(key)) === false) {
    table.problem('trailers', 'trailers are words like Signed-off-by, without the colon');
  }
  return trailers;
}

function readExtensions(table: CheckTable, key: string): readonly string[] | undefined {
  return table.texts(key)?.map((text) => text.replace(/^\*?\./, '').toLowerCase());
}

/** Lines with `[[check]]`, those within a text of several lines left out. */
function headerLines(lines: readonly string[]): readonly number[] {
  const found: number[] = [];
  let open: string | undefined;
  for (const [index, line] of lines.entries()) {
    if (open === undefined && /^\s*\[\[\s*"?check"?\s*\]\]/.test(line)) found.push(index + 1);
    for (const [mark] of line.matchAll(/"""|'''/g)) {
      if (open === undefined) open = mark;
      else if (open === mark) open = undefined;
    }
  }
  return found;
}

function tomlProblem(file: string, text: string, error: unknown): Problem {
  const line = typeof error === 'object' && error !== null && 'line' in error ? Number(error.line) : 0;
  const [message = ''] = error instanceof Error ? error.message.split('\n') : ['is not TOML'];
  const at = Number.isInteger(line) && line > 0 ? line : 0;
  return { ...fileProblem(file, message), line: at, text: at === 0 ? '' : (text.split('\n')[at - 1] ?? '') };
}

/** All files together; a name stands for one check only, since refusals and approvals name it. */
export function readCheckFiles(sources: ReadonlyMap<string, string>): CheckFile {
  const problems: Problem[] = [];
  const checks: Check[] = [];
  for (const path of [...sources.keys()].filter(isCheckPath).toSorted()) {
    const read = readCheckFile(path, sources.get(path) ?? '');
    if (read.kind === 'wrong') problems.push(...read.problems);
    else checks.push(...read.checks);
  }
  const seen = new Map<string, Check>();
  for (const check of checks) {
    const twin = seen.get(check.name);
    seen.set(check.name, check);
    if (twin === undefined) continue;
    const message = `there are two checks named ${check.name}: the other is in ${twin.file}`;
    problems.push({ ...fileProblem(check.file, message), line: check.line });
  }
  if (checks.length > BOUNDS.checksMax) {
    problems.push(fileProblem('checks/', `there are at most ${BOUNDS.checksMax} checks`));
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'ok', checks };
}
