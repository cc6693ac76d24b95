/** Help that needs no site: the same words as through a gate. */
import { COMMANDS } from './all.ts';
import { parseFor, Vocabulary } from './find.ts';
import { helpAll, helpFamily, helpOne, reference } from './help.ts';

/** The help that the words ask for; undefined where they ask for something else. */
export function helpWithoutSite(words: readonly string[]): string | undefined {
  const vocabulary = new Vocabulary(COMMANDS);
  if (words[0] === 'help') {
    if (words.includes('--markdown')) return reference(vocabulary);
    const family = vocabulary.of(words[1] ?? '');
    return family.length > 0 ? helpFamily(family) : helpAll(vocabulary);
  }
  if (!words.includes('--help') && !words.includes('-h')) return undefined;
  const found = vocabulary.find(words);
  if (found.kind === 'ok' && parseFor(found.value, words).kind === 'ok') return helpOne(found.value);
  const family = vocabulary.of(words[0] ?? '');
  return family.length > 0 ? helpFamily(family) : undefined;
}

/** The body of docs/commands.md. */
export function commandReference(): string {
  return reference(new Vocabulary(COMMANDS));
}
