/** Roles that a repository's permissions give: lines such as `READERS ada @staff`. */
import { isUserWord } from './words.ts';

export interface RoleQuestion {
  /** The text of gl-perms. */
  readonly permissions: string;
  readonly creator: string;
  readonly user: string;
  /** Every group the user is in, `@all` too. */
  readonly groups: ReadonlySet<string>;
  /** Roles that the site knows; lines about others are passed over. */
  readonly known: ReadonlySet<string>;
}

/** With their `@`; `@CREATOR` among them for the creator. */
export function rolesOf({ permissions, creator, user, groups, known }: RoleQuestion): ReadonlySet<string> {
  const roles = new Set<string>();
  const lines = permissions === '' ? [] : permissions.split('\n');
  for (const line of [...lines, `CREATOR = ${creator}`]) {
    const text = line
      .replace(/^[ \t\r\f\v]+/, '')
      .replace('=', ' ')
      .replace(/^@/, '');
    if (text.startsWith('#')) continue;
    const [role, ...members] = text.split(/[ \t\r\f\v]+/).filter((word) => word !== '');
    if (role === undefined || (role !== 'CREATOR' && !known.has(role))) continue;
    if (members.some((member) => isUserWord(member) && (member === user || groups.has(member)))) roles.add(`@${role}`);
  }
  return roles;
}
