/** A conf such as a large site has: every repository with a stanza of its own, people in teams, wild repositories, a few deny rules. */

export interface ConfSize {
  readonly repositories: number;
  readonly users: number;
}

export function repositoryName(index: number): string {
  return `team${index % 97}/project-${index}`;
}

export function userName(index: number): string {
  return `user${index}`;
}

/** @param marked what the line of this one repository says on top: the one line that a change changes. */
export function confText(
  { repositories, users }: ConfSize,
  marked?: { readonly index: number; readonly line: string },
): string {
  const lines = ['@admins = admin user0', '@ci = user1 user2'];
  for (let team = 0; team < 97; team += 1) {
    const members = Array.from({ length: Math.ceil(users / 97) }, (_none, i) => userName((team + i * 97) % users));
    lines.push(`@team${team} = ${[...new Set(members)].join(' ')}`);
  }
  lines.push('repo gitolite-admin', '    RW+ = admin');
  for (let index = 0; index < repositories; index += 1) {
    lines.push(`repo ${repositoryName(index)}`);
    if (marked?.index === index) lines.push(`    ${marked.line}`);
    lines.push(
      `    -   refs/tags/v[0-9] = @ci`,
      `    RW+ dev/USER/ = @team${index % 97}`,
      `    RW  master$ refs/tags/v[0-9] = ${userName(index % users)} @admins`,
      `    RW+ = ${userName((index * 7) % users)}`,
      `    R   = @team${(index + 1) % 97} @ci`,
    );
    if (index % 10 === 0) lines.push(`    config hooks.mailinglist = list-${index}@example.org`);
    if (index % 10 === 1) lines.push(`    desc = "Project number ${index}"`);
  }
  lines.push(
    'repo home/CREATOR/..*',
    '    C = @all',
    '    RW+ = CREATOR',
    '    RW = WRITERS',
    '    R = READERS',
    'repo @all',
    '    R = @admins',
    '    option deny-rules = 1',
  );
  return `${lines.join('\n')}\n`;
}
