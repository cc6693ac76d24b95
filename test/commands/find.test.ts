/** What the journal keeps of the words of a command. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Vocabulary, withoutSecrets } from '../../src/commands/find.ts';
import { MIRROR_COMMANDS } from '../../src/commands/mirror.ts';

const KEPT = ['https://host/a@b', 'ssh://git@host:22/org/api', 'git@host:org/api.git', 'see https://host: mail a@b'];
const HIDDEN: readonly (readonly [string, string])[] = [
  ['https://me:word@host/x', 'https://(secret)@host/x'],
  ['https://word@host/x', 'https://(secret)@host/x'],
  ['https://me:word@word@host/x', 'https://(secret)@host/x'],
  ['https://me:word/word@host/x', 'https://(secret)@host/x'],
  ['HTTPS://me:word@host/x', 'HTTPS://(secret)@host/x'],
  ['ssh://git:word@host/x', 'ssh://(secret)@host/x'],
  ['me:word@host:x', '(secret)@host:x'],
  ['--url=https://me:word@host/x', '--url=https://(secret)@host/x'],
];

test('no spelling of a password in an address stays in the journal', () => {
  const found = new Vocabulary(MIRROR_COMMANDS).find(['mirror', 'add']);
  assert.ok(found.kind === 'ok');
  const kept = (word: string): string | undefined => withoutSecrets(found.value, ['mirror', 'add', 'api', word]).at(-1);
  for (const word of KEPT) assert.equal(kept(word), word);
  for (const [word, shown] of HIDDEN) assert.equal(kept(word), word.startsWith('--') ? 'mirror' : shown, word);
});
