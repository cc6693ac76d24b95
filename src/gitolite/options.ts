/** Settings that the conf gives a repository: git config keys, options, and options that become environment. */
import { Meter } from '../access/meter.ts';
import { compilePerl } from '../access/gitolite/perl-pattern.ts';
import { isTrue } from '../access/gitolite/words.ts';
import { assertSane, repositoryMemberships, repositoryOf } from './ask.ts';
import type { Env, Run } from './run.ts';
import { dies } from './words.ts';

const ENV_OPTION = /^gitolite-options\.ENV\.(\w+)$/;

/** By key; what an empty value unset is left out, unless `isEmptyToo`. */
export async function configOf(
  run: Run,
  name: string,
  { isEmptyToo = false }: { readonly isEmptyToo?: boolean } = {},
): Promise<ReadonlyMap<string, string>> {
  assertSane(name);
  const repository = await repositoryOf(run, name);
  const { compiled } = await run.site.conf(run.rc);
  if (!isEmptyToo) return compiled.access.config(repository);
  const settings = compiled.index.settingsFor(await repositoryMemberships(run, repository));
  return new Map([...settings].map(([key, { value }]) => [key, filledIn(value, repository)]));
}

function filledIn(value: string, { name, creator }: { readonly name: string; readonly creator: string }): string {
  const named = value.replaceAll('%GL_REPO', () => name);
  return isTrue(creator) ? named.replaceAll('%GL_CREATOR', () => creator) : named;
}

/** Keys that the pattern, a Perl expression, matches somewhere. @throws `dies` where it is no pattern. */
export async function configMatching(
  run: Run,
  {
    name,
    pattern,
    isEmptyToo = false,
  }: { readonly name: string; readonly pattern: string; readonly isEmptyToo?: boolean },
): Promise<ReadonlyMap<string, string>> {
  const compiled = compilePerl(pattern);
  if (compiled.kind === 'wrong') throw dies(`bad pattern '${pattern}': ${compiled.message}`);
  const config = await configOf(run, name, { isEmptyToo });
  return new Map([...config].filter(([key]) => compiled.pattern.find(key, new Meter())));
}

/** Empty where it is not set. */
export async function optionOf(run: Run, name: string, option: string): Promise<string> {
  return (await configOf(run, name)).get(`gitolite-options.${option}`) ?? '';
}

/** What `option ENV.NAME` puts into the environment of the site's programs: GL_OPTION_NAME. */
export async function optionEnv(run: Run, name: string): Promise<Env> {
  const env: Record<string, string> = {};
  for (const [key, value] of await configOf(run, name)) {
    const [, option] = ENV_OPTION.exec(key) ?? [];
    if (option !== undefined) env[`GL_OPTION_${option}`] = value;
  }
  return env;
}

/** The run with the options of this repository in its environment, and of no other. */
export async function withOptions(run: Run, name: string): Promise<Run> {
  const own = Object.entries(run.env).filter(([key]) => !key.startsWith('GL_OPTION_'));
  return { ...run, env: { ...Object.fromEntries(own), ...(await optionEnv(run, name)) } };
}
