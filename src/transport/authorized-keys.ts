/** What sshd asks its AuthorizedKeysCommand: the line of authorized_keys for one key, found by an index. */
import { createHash } from 'node:crypto';
import { userInfo } from 'node:os';
import { scalarOf } from '../gitolite/rc-value.ts';
import type { SiteDoorParts, SiteInvocation } from './site-door.ts';

export interface HeldKey {
  readonly user: string;
  /** `ssh-ed25519 AAAA...`. */
  readonly line: string;
}

/** Whose key that is, by its fingerprint as ssh-keygen prints it: `SHA256:...`. */
export type KeyHolder = (fingerprint: string) => Promise<HeldKey | undefined>;

const AUTH_OPTIONS = 'no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty';
const USAGE = 'usage: gatehouse-shell --authorized-keys ACCOUNT FINGERPRINT|KEY\n';

/** `--authorized-keys %u %f` (or `%k`). Prints nothing for a key that nobody has: sshd then looks elsewhere. */
export async function authorizedKeys(invocation: SiteInvocation, parts: SiteDoorParts): Promise<number> {
  const [, account, key] = invocation.argv;
  if (account === undefined || key === undefined || invocation.argv.length > 4) {
    invocation.stderr.write(USAGE);
    return 2;
  }
  if (account !== userInfo().username) return 0;
  const fingerprint = fingerprintOf(key);
  const held = fingerprint === undefined ? undefined : await parts.keyHolder(fingerprint);
  if (held === undefined) return 0;
  const { rc } = await parts.newRun(invocation);
  const options = scalarOf(rc.values['AUTH_OPTIONS']) || AUTH_OPTIONS;
  invocation.stdout.write(`command="${rc.binDirectory}/gitolite-shell ${held.user}",${options} ${held.line}\n`);
  return 0;
}

function fingerprintOf(key: string): string | undefined {
  if (/^SHA256:[A-Za-z0-9+/]{43}$/.test(key)) return key;
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(key)) return undefined;
  const digest = createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64');
  return `SHA256:${digest.replace(/=+$/, '')}`;
}
