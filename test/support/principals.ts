/** Principals for tests that need somebody to ask and no directory to look them up in. */
import assert from 'node:assert/strict';
import { parseUserName, type Credential, type Principal } from '../../src/identity/principal.ts';

/** A person without groups, with the credential given; default: the local command line. */
export function principalNamed(name: string, credential: Credential = { kind: 'local' }): Principal {
  const parsed = parseUserName(name);
  assert.ok(parsed.kind === 'ok');
  const groups = new Set<never>();
  return { kind: 'user', name: parsed.value, account: 'person', email: '', realName: '', groups, credential };
}
