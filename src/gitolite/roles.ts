/** Roles that the rules about a repository know: what somebody gets who is given one. */
import { Meter } from '../access/meter.ts';
import type { ConfRule } from '../access/gitolite/conf.ts';
import { repositoryOf } from './ask.ts';
import type { Run } from './run.ts';

/** In the order of the conf; a rule that reaches the repository in several ways is there as often. */
export async function roleRules(run: Run, name: string): Promise<readonly ConfRule[]> {
  const { compiled } = await run.site.conf(run.rc);
  const repository = await repositoryOf(run, name);
  const rules: ConfRule[] = [];
  for (const key of compiled.index.repositoryMemberships(repository, new Meter())) {
    for (const stanza of compiled.conf.stanzas.get(key) ?? [])
      for (const role of run.rc.roles) rules.push(...(stanza.rules.get(`@${role}`) ?? []));
  }
  return rules.sort((a, b) => a.sequence - b.sequence);
}

export function roleOf({ user }: ConfRule): string {
  return user.replace(/^@/, '');
}

/** The table of `perms -lr`. */
export function roleTable(rules: readonly ConfRule[]): string {
  const rows = rules.map((rule) => {
    const ref = rule.refex.replace(/^refs\/heads\//, '');
    return { permission: rule.permission, ref: ref === 'refs/.*' ? '--any--' : ref, role: roleOf(rule) };
  });
  const width = rows.reduce((most, { ref }) => Math.max(most, ref.length), 0);
  const head = [`perm\t${'ref'.padEnd(width)}\t \trole`, `----\t${'---'.padEnd(width)}\t \t----`];
  const body = rows.map(({ permission, ref, role }) => `${permission}\t${ref.padEnd(width)}\t=\t${role}`);
  return [...head, ...body].map((line) => `\t${line}\n`).join('');
}
