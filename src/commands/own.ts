/** What commands about one's own keys and tokens share. */
import type { UserName } from '../identity/principal.ts';
import type { Answer, Call } from './command.ts';

/** Undefined: nobody in particular. */
export function ownName({ principal }: Call): UserName | undefined {
  return principal.kind === 'user' ? principal.name : undefined;
}

/** The key on standard input, for the tag that was named; else what to answer (`nobody` to who has no name). */
export async function givenKey(
  call: Call,
  nobody: Answer,
): Promise<Answer | { readonly kind: 'given'; readonly user: UserName; readonly tag: string; readonly text: string }> {
  const user = ownName(call);
  if (user === undefined) return nobody;
  const read = await call.readStdin();
  if ('kind' in read) return read;
  return { kind: 'given', user, tag: call.args.text('TAG'), text: Buffer.from(read).toString('utf8') };
}
