/** What a client asks for in an exchange (RFC 8693 section 2.1, `scope` and `resource`), within what a rule grants. */
import { ok, refuse, type Parsed } from '../../base/fault.ts';
import { matchesGlob } from '../../base/glob.ts';
import { formatDuration, parseDuration } from '../../base/units.ts';
import { parseRefPattern, parseRepositoryPattern } from '../../identity/pass-request.ts';
import { coversRepository, type PassScope } from '../../identity/pass-scope.ts';
import type { TrustRule } from './trust-file.ts';

/** Less than a rule grants. Absent: what the rule grants. */
export interface Asked {
  readonly repositories?: readonly string[];
  readonly read?: true;
  readonly push?: readonly string[];
  readonly lifeMs?: number;
}

/** Of an exchange that is refused: RFC 6749 section 5.2, RFC 8693 section 2.2.2. */
export type AskedError = {
  readonly kind: 'refused';
  readonly error: 'invalid_scope' | 'invalid_target';
  readonly reason: string;
};

const WORDS = 'the words of scope are read, push:REF, repo:NAME and life:DURATION';

/** @param scope words between blanks; @param resources names of repositories, or their URLs at this gate */
export function parseAsked(
  scope: string,
  resources: readonly string[],
): { readonly kind: 'ok'; readonly value: Asked } | AskedError {
  const repositories: string[] = [];
  const push: string[] = [];
  let read = false;
  let lifeMs: number | undefined;
  for (const word of scope.split(' ').filter((one) => one !== '')) {
    const [, kind = '', value = ''] = /^(repo|push|life):(.+)$/s.exec(word) ?? [];
    const parsed: Parsed<unknown> =
      kind === 'repo'
        ? parseRepositoryPattern(value)
        : kind === 'push'
          ? parseRefPattern(value)
          : kind === 'life'
            ? parseDuration(value)
            : word === 'read'
              ? ok(true)
              : refuse(WORDS);
    if (parsed.kind === 'refused') return { kind: 'refused', error: 'invalid_scope', reason: parsed.reason };
    if (kind === 'repo' && typeof parsed.value === 'string') repositories.push(parsed.value);
    else if (kind === 'push' && typeof parsed.value === 'string') push.push(parsed.value);
    else if (typeof parsed.value === 'number') lifeMs = parsed.value;
    else read = true;
  }
  for (const resource of resources) {
    const name = parseRepositoryPattern(pathOf(resource));
    if (name.kind === 'refused') return { kind: 'refused', error: 'invalid_target', reason: name.reason };
    repositories.push(name.value);
  }
  const asked: Asked = {
    ...(repositories.length === 0 ? {} : { repositories }),
    ...(read ? { read } : {}),
    ...(push.length === 0 ? {} : { push }),
    ...(lifeMs === undefined ? {} : { lifeMs }),
  };
  return { kind: 'ok', value: asked };
}

export interface Granted {
  readonly scope: PassScope;
  readonly lifeMs: number;
}

/** What was asked for, where the rule grants that much. Who names neither read nor push gets both as the rule has them. */
export function grantedOf(
  asked: Asked,
  rule: Pick<TrustRule, 'scope' | 'lifeMs'>,
): { readonly kind: 'ok'; readonly value: Granted } | AskedError {
  const { scope } = rule;
  const { repositories = scope.repositories, push } = asked;
  const outside = repositories.find((name) => !withinRepositories(name, scope));
  if (outside !== undefined)
    return { kind: 'refused', error: 'invalid_target', reason: `the rule grants nothing in ${outside}` };
  const beyond = push?.find((ref) => !scope.push.some((pattern) => matchesGlob(pattern, ref)));
  if (beyond !== undefined)
    return { kind: 'refused', error: 'invalid_scope', reason: `the rule grants no push of ${beyond}` };
  if (asked.read === true && !scope.read)
    return { kind: 'refused', error: 'invalid_scope', reason: 'the rule grants no read' };
  if (asked.lifeMs !== undefined && asked.lifeMs > rule.lifeMs)
    return {
      kind: 'refused',
      error: 'invalid_scope',
      reason: `the rule grants at most ${formatDuration(rule.lifeMs)}`,
    };
  const isWhole = push === undefined && asked.read === undefined;
  const refs = isWhole ? scope.push : (push ?? []);
  const none = refs.length === 0;
  const granted: Granted = {
    lifeMs: asked.lifeMs ?? rule.lifeMs,
    scope: {
      ...scope,
      repositories,
      read: isWhole ? scope.read : asked.read === true,
      push: refs,
      createOnly: !none && scope.createOnly,
      rewind: !none && scope.rewind,
      delete: !none && scope.delete,
    },
  };
  return { kind: 'ok', value: granted };
}

/**
 * Whether everything that a pattern means is among what the rule grants. Held against a pattern, the star of another is a
 * character that only a star covers: so what is covered with its star in place is covered whatever stands there.
 */
function withinRepositories(name: string, scope: PassScope): boolean {
  if (scope.repositories.includes(name)) return true;
  return name.includes('*')
    ? scope.repositories.some((pattern) => matchesGlob(pattern, name))
    : coversRepository(scope, name);
}

function pathOf(resource: string): string {
  const url = /^[a-z]+:\/\//i.test(resource) ? URL.parse(resource) : null;
  return (url === null ? resource : url.pathname)
    .replace(/^\/+/, '')
    .replace(/\/+$/, '')
    .replace(/\.git$/, '');
}
