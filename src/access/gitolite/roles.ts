/** Roles that a repository's permissions give: lines such as `READERS ada @staff`. */
import { Recent } from './recent.ts';
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

interface RoleLine {
  readonly role: string;
  readonly members: readonly string[];
}

const CREATOR = '@CREATOR';
const NO_ROLES: ReadonlySet<string> = new Set();

const TEXTS_MAX = 10_000;
const TEXT_CHARS_MAX = 4_096;

export class Roles {
  readonly #parsed = new Recent<string, readonly RoleLine[]>(TEXTS_MAX);

  /** With their `@`; `@CREATOR` among them for the creator. */
  of({ permissions, creator, user, groups, known }: RoleQuestion): ReadonlySet<string> {
    const isMeant = (member: string): boolean => isUserWord(member) && (member === user || groups.has(member));
    let roles = NO_ROLES;
    if (permissions !== '') {
      const given = this.#lines(permissions).filter(({ role, members }) => {
        return (role === 'CREATOR' || known.has(role)) && members.some(isMeant);
      });
      if (given.length > 0) roles = new Set(given.map(({ role }) => `@${role}`));
    }
    if (creator === '' || !wordsBetweenBlanks(creator).some(isMeant)) return roles;
    return roles.size === 0 ? ONLY_CREATOR : new Set([...roles, CREATOR]);
  }

  #lines(permissions: string): readonly RoleLine[] {
    const known = this.#parsed.get(permissions);
    if (known !== undefined) return known;
    const lines = permissions.split('\n').flatMap(parseRoleLine);
    if (permissions.length <= TEXT_CHARS_MAX) this.#parsed.set(permissions, lines);
    return lines;
  }
}

const ONLY_CREATOR: ReadonlySet<string> = new Set([CREATOR]);

function parseRoleLine(line: string): RoleLine[] {
  const text = line
    .replace(/^[ \t\r\f\v]+/, '')
    .replace('=', ' ')
    .replace(/^@/, '');
  if (text.startsWith('#')) return [];
  const [role, ...members] = wordsBetweenBlanks(text);
  return role === undefined ? [] : [{ role, members }];
}

function wordsBetweenBlanks(text: string): readonly string[] {
  return /[ \t\r\f\v]/.test(text) ? text.split(/[ \t\r\f\v]+/).filter((word) => word !== '') : [text];
}
