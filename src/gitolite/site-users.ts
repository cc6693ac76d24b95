/** Users of a site's conf as principals. The conf knows them by name alone; whoever lets them in vouches for the name. */
import type { GroupName, Principal, UserName } from '../identity/principal.ts';
import { dies, USER_WORD } from './words.ts';

export interface SiteUsersParts {
  /** Groups that the site knows outside its conf (GROUPLIST_PGM). */
  readonly outerGroups: (user: string) => Promise<readonly string[]>;
  /** Whose key of the keydir this is now. */
  readonly keyHolder: (fingerprint: string) => Promise<string | undefined>;
}

export class SiteUsers {
  readonly #parts: SiteUsersParts;

  constructor(parts: SiteUsersParts) {
    this.#parts = parts;
  }

  /** @throws `dies` where this is no user's name. */
  principal(user: string, fingerprint?: string): Principal {
    if (!USER_WORD.test(user)) throw dies(`invalid user '${user}'`);
    return {
      kind: 'user',
      // The site's own alphabet, which is wider than the house's.
      name: user as UserName,
      account: 'person',
      email: '',
      realName: '',
      groups: new Set(),
      credential: { kind: 'shell', ...(fingerprint === undefined ? {} : { fingerprint }) },
    };
  }

  /** With the groups of now. Undefined: the key was taken away, or this is no user of the site. */
  async current(principal: Principal): Promise<Principal | undefined> {
    if (!isSiteUser(principal)) return undefined;
    const { fingerprint } = principal.credential;
    if (fingerprint !== undefined && (await this.#parts.keyHolder(fingerprint)) !== principal.name) return undefined;
    const groups = await this.#parts.outerGroups(principal.name);
    return { ...principal, groups: new Set(groups.map((group) => group as GroupName)) };
  }
}

type SiteUser = Extract<Principal, { readonly kind: 'user' }> & { readonly credential: { readonly kind: 'shell' } };

export function isSiteUser(principal: Principal): principal is SiteUser {
  return principal.kind === 'user' && principal.credential.kind === 'shell';
}
