/** Lists of Perl patterns by which a site opens keys to its users: `hook\\..* foo bar[0-9].*`. */
import { compilePerl } from '../access/gitolite/perl-pattern.ts';
import { Meter } from '../access/meter.ts';
import { wordsOf } from './rc-value.ts';

/** Whether one of the patterns matches the key from end to end, in upper case or lower. One that is none matches nothing. */
export function matchesWord(patterns: string, key: string): boolean {
  return wordsOf(patterns).some((pattern) => {
    const compiled = compilePerl(`(?i)^${pattern}$`);
    return compiled.kind === 'ok' && compiled.pattern.find(key, new Meter());
  });
}
