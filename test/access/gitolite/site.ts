/** Confs and questions for the tests of the conf language, as plain values. */
import assert from 'node:assert/strict';
import { compileConf, type CompiledConf, type ConfCompilation } from '../../../src/access/gitolite/compile-conf.ts';
import type { Attempt } from '../../../src/access/gitolite/conf-access.ts';
import { DEFAULT_SETTINGS, type ConfSettings } from '../../../src/access/gitolite/conf-settings.ts';
import type { ConfRepository } from '../../../src/access/gitolite/rule-index.ts';

/** @param source the main file, or all files by their paths. */
export function compilation(
  source: string | Readonly<Record<string, string>>,
  settings: Partial<ConfSettings> = {},
): ConfCompilation {
  const files = new Map(Object.entries(typeof source === 'string' ? { 'gitolite.conf': source } : source));
  return compileConf({ files, settings: { ...DEFAULT_SETTINGS, ...settings } });
}

export function conf(
  source: string | Readonly<Record<string, string>>,
  settings: Partial<ConfSettings> = {},
): CompiledConf {
  const result = compilation(source, settings);
  assert.ok(result.kind === 'ok', result.kind === 'wrong' ? JSON.stringify(result.problems) : '');
  return result.compiled;
}

/** The first fatal problem as `file:line: message`. */
export function fatal(
  source: string | Readonly<Record<string, string>>,
  settings: Partial<ConfSettings> = {},
): string | undefined {
  const result = compilation(source, settings);
  const problem = result.kind === 'wrong' ? result.problems[0] : undefined;
  return problem && `${problem.file}:${problem.line}: ${problem.message}`;
}

export function warnings(source: string | Readonly<Record<string, string>>): readonly string[] {
  return compilation(source).warnings.map(({ file, line, message }) => `${file}:${line}: ${message}`);
}

export const there = (name: string, facts: Partial<ConfRepository> = {}): ConfRepository => ({
  name,
  exists: true,
  creator: '',
  permissions: '',
  ...facts,
});

export const notThere = (name: string, creator = ''): ConfRepository => there(name, { exists: false, creator });

/** What `gitolite access REPOSITORY USER ATTEMPT REF` prints. */
export function asked(
  { access }: CompiledConf,
  repository: ConfRepository | string,
  words: string,
  outerGroups: readonly string[] = [],
): string {
  const [user = '', attempt = '+', ref = 'any'] = words.split(' ');
  const about = typeof repository === 'string' ? there(repository) : repository;
  return access.accessCommand({
    repository: about,
    user: { name: user, outerGroups },
    attempt: attempt as Attempt,
    ref,
  }).text;
}
