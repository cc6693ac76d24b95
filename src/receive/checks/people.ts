/** The people that checks compare names and addresses with: who pushes, and everybody who has an account here. */
import type { Principal, UserName } from '../../identity/principal.ts';
import type { Signed, SignedText } from '../../identity/signatures.ts';
import { matchesGlob } from '../../base/glob.ts';
import type { SignedWith, Signer } from './check.ts';
import type { Ident } from './signed-object.ts';

/** Everybody's addresses and names, in lower case. */
export interface Registered {
  readonly emails: ReadonlySet<string>;
  readonly names: ReadonlySet<string>;
}

export interface PeopleSource {
  /** As of now. */
  registered(): Promise<Registered>;
  verify(text: SignedText): Promise<Signed>;
}

interface Account {
  readonly name: UserName;
  readonly email: string;
  readonly realName: string;
}

interface DirectoryPart {
  /** Grows with every change to a user. */
  readonly revision: number;
  readonly users: { list(options: { readonly after?: string; readonly limit?: number }): Promise<readonly Account[]> };
  readonly signatures: { verify(text: SignedText): Promise<Signed> };
}

const PAGE = 1_000;

/** Reads all users once for each state of the directory, and only where a check asks. */
export function peopleOf(directory: DirectoryPart): PeopleSource {
  let known: { readonly revision: number; readonly registered: Registered } | undefined;
  return {
    verify: (text) => directory.signatures.verify(text),
    async registered() {
      const { revision } = directory;
      if (known?.revision === revision) return known.registered;
      const emails = new Set<string>();
      const names = new Set<string>();
      let after: string | undefined;
      for (;;) {
        const page = await directory.users.list({ limit: PAGE, ...(after === undefined ? {} : { after }) });
        for (const user of page) {
          emails.add(user.email.toLowerCase());
          names.add(user.realName.toLowerCase());
        }
        after = page.at(-1)?.name;
        if (after === undefined || page.length < PAGE) break;
      }
      known = { revision, registered: { emails, names } };
      return known.registered;
    },
  };
}

/** One push's look at people: each question is asked once. */
export class PushPeople {
  readonly #source: PeopleSource;
  readonly principal: Principal;
  #registered: Promise<Registered> | undefined;

  constructor(source: PeopleSource, principal: Principal) {
    this.#source = source;
    this.principal = principal;
  }

  /** What is wrong with a name or an address, in words that follow its role; undefined: nothing. */
  async problem(field: 'email' | 'name', ident: Ident, accepted: readonly string[]): Promise<string | undefined> {
    const text = ident[field].toLowerCase();
    for (const pattern of accepted) if (await this.#accepts(field, text, pattern)) return undefined;
    const words = accepted.map((pattern) => WORDS.get(`${field} ${pattern}`) ?? pattern);
    const what = field === 'email' ? `e-mail address ${ident.email || 'nothing'}` : `name ${ident.name || 'nothing'}`;
    return `${what} is not ${words.length === 1 ? words[0] : `one of ${words.join(', ')}`}`;
  }

  async #accepts(field: 'email' | 'name', text: string, pattern: string): Promise<boolean> {
    const { principal } = this;
    if (pattern === 'pusher') {
      if (principal.kind !== 'user') return false;
      return (field === 'email' ? principal.email : principal.realName).toLowerCase() === text;
    }
    if (pattern !== 'registered') return matchesGlob(pattern.toLowerCase(), text);
    this.#registered ??= this.#source.registered();
    const { emails, names } = await this.#registered;
    return (field === 'email' ? emails : names).has(text);
  }

  verify(text: SignedText): Promise<Signed> {
    return this.#source.verify(text);
  }

  /** What is wrong with a signature for a check that asks for one; undefined: nothing. */
  signatureProblem(
    signed: Signed | undefined,
    asked: { readonly format: SignedWith; readonly by: Signer; readonly committer: Ident | undefined },
  ): string | undefined {
    const { format, by, committer } = asked;
    if (signed === undefined) return 'is not signed';
    if (signed.kind === 'bad') return `has a signature that ${signed.reason}`;
    if (format !== 'any' && signed.format !== format) return `is signed with ${signed.format}, not with ${format}`;
    const { principal } = this;
    if (by === 'pusher' && !(principal.kind === 'user' && principal.name === signed.user)) {
      return `is signed by ${signed.user}, not by who pushes`;
    }
    if (by === 'committer' && committer?.email.toLowerCase() !== signed.email.toLowerCase()) {
      return `is signed by ${signed.user}, whose address is not that of its committer`;
    }
    return undefined;
  }
}

const WORDS: ReadonlyMap<string, string> = new Map([
  ['email pusher', 'your own'],
  ['email registered', 'that of a user of this gate'],
  ['name pusher', 'your own'],
  ['name registered', 'that of a user of this gate'],
]);
