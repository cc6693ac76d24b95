/** Plain lines to a `Conf`. What gitolite dies of is a problem of its line, and the parser goes on to the next. */
import { MASTER, type ConfLine } from './conf-line.ts';
import type { ConfProblems } from './conf-problem.ts';
import type { ConfSettings } from './conf-settings.ts';
import type { Conf, ConfRule, ConfSetting, Stanza } from './conf.ts';
import { Meter } from '../meter.ts';
import type { ConfPatterns } from './conf-patterns.ts';
import { compilePerl, type PerlPattern } from './perl-pattern.ts';
import {
  ALL,
  DEFAULT_REFEX,
  isPatternWord,
  isPlainWord,
  isUserWord,
  RULE_LINE,
  UNSAFE_VALUE,
  wordsOf,
} from './words.ts';

/** Rules and settings of a whole conf, and names on one `repo` line after its groups are taken apart. */
const RULES_MAX = 1_000_000;
const NAMES_MAX = 1_000_000;
/** Members of all groups: nested groups are expanded, so a few lines can ask for very many. */
const MEMBERS_MAX = 1_000_000;

/** States of all patterns: some 40 bytes each. */
const STATES_MAX = 1_000_000;

export interface ParserParts {
  readonly settings: ConfSettings;
  readonly patterns: ConfPatterns;
  readonly problems: ConfProblems;
}

/** What a `repo` line and those below it came to, with all that it depends on outside of them. */
export interface ParsedBlock {
  readonly stanza: Stanza;
  readonly names: ReadonlySet<string>;
  /** Words behind `repo`. */
  readonly words: number;
  readonly refexes: ReadonlySet<string>;
  /** Groups that were known. */
  readonly userGroups: ReadonlySet<string>;
  /** Groups of refexes -> their members then. */
  readonly refexGroups: ReadonlyMap<string, string>;
  /** Sequence numbers: the last one before it, and how many it has. */
  readonly base: number;
  readonly count: number;
}

interface OpenStanza extends Stanza {
  readonly rules: Map<string, ConfRule[]>;
  readonly settings: ConfSetting[];
}

interface OpenBlock {
  names: ReadonlySet<string>;
  words: number;
  readonly refexes: Set<string>;
  readonly userGroups: Set<string>;
  readonly refexGroups: Map<string, string>;
}

/** Each block starts at a multiple, so that one that grows a little does not move those behind it. */
const BLOCK_STEP = 16;

/** What a rule says, before groups of refexes are looked up. */
interface RuleWords {
  readonly permission: string;
  readonly refexes: readonly string[];
  readonly users: readonly string[];
  readonly badUser: string | undefined;
}

/** Carries a fatal message to `line`, and no further. */
class Fatal extends Error {}

/** One behind which nothing is read any more: what made this conf too large would do it again on the next line. */
class TooLarge extends Fatal {}

export class ConfParser {
  readonly #groups = new Map<string, Set<string>>();
  readonly #stanzas = new Map<string, Stanza[]>();
  readonly #refexes = new Set<string>();
  readonly #settings: ConfSettings;
  readonly #problems: ConfProblems;
  readonly #keys: readonly PerlPattern[];
  readonly #unsafe: PerlPattern | undefined;
  /** `@group member`, where a delegated part put it in first. */
  readonly #delegated = new Set<string>();
  /** Delegated part -> names it may not speak of, each with the line that did. */
  readonly #ignored = new Map<string, { readonly at: ConfLine; readonly names: Set<string> }>();
  readonly #patterns: ConfPatterns;
  readonly #ruleWords = new Map<string, RuleWords>();
  #stanza: OpenStanza | undefined;
  #block: OpenBlock | undefined;
  #sequence = 0;
  #rulesSeen = 0;
  #isOver = false;
  #names = 0;
  #members = 0;

  constructor({ settings, patterns, problems }: ParserParts) {
    this.#settings = settings;
    this.#patterns = patterns;
    this.#problems = problems;
    this.#keys = ['gitolite-options\\..*', ...settings.configKeys].flatMap(
      (key) => this.#ofSite(`(?i)^${key}$`, `config keys '${key}'`) ?? [],
    );
    const unsafe = settings.unsafeValue ?? UNSAFE_VALUE;
    this.#unsafe = this.#ofSite(unsafe, `unsafe config values '${unsafe}'`);
  }

  /** A pattern out of the settings. */
  #ofSite(text: string, what: string): PerlPattern | undefined {
    const compiled = compilePerl(text);
    if (compiled.kind === 'ok') return compiled.pattern;
    this.#problems.die({ file: 'gitolite.conf', line: 0 }, `bad pattern of ${what}: ${compiled.message}`);
    return undefined;
  }

  /** Lines behind one another, with at most one `repo` line, the first. @returns what they came to, if there is one. */
  block(lines: readonly ConfLine[]): ParsedBlock | undefined {
    this.#sequence = Math.ceil(this.#sequence / BLOCK_STEP) * BLOCK_STEP;
    const base = this.#sequence;
    const isStanza = lines[0]?.text.startsWith('repo ') === true;
    const open = { names: new Set<string>(), words: 0, refexes: new Set<string>(), userGroups: new Set<string>() };
    const block: OpenBlock = { ...open, refexGroups: new Map<string, string>() };
    this.#block = block;
    for (const line of lines) this.#try(line);
    const stanza = this.#stanza;
    return isStanza && stanza !== undefined ? { ...block, stanza, base, count: this.#sequence - base } : undefined;
  }

  /**
   * A block as it was, `shift` lines further down.
   * @returns undefined: something that it depends on is different now, and nothing was done.
   */
  again(block: ParsedBlock, shift: number): ParsedBlock | undefined {
    const { names, words, refexes, count } = block;
    const isSame =
      [...block.userGroups].every((group) => this.#isKnownGroup(group)) &&
      [...block.refexGroups].every(([group, members]) => this.#membersText(group) === members);
    if (!isSame || this.#names + words > NAMES_MAX || this.#rulesSeen + count > RULES_MAX) return undefined;
    for (const name of names) if (!isPlainWord(name)) this.#patterns.of(`^${name}$`);
    for (const refex of refexes) {
      if (!this.#refexes.has(refex)) this.#patterns.of(`^${refex}`);
      this.#refexes.add(refex);
    }
    if (this.#patterns.states > STATES_MAX) return undefined;
    const base = Math.ceil(this.#sequence / BLOCK_STEP) * BLOCK_STEP;
    const stanza = movedStanza(block.stanza, base - block.base, shift);
    this.#names += words;
    this.#rulesSeen += count;
    this.#sequence = base + count;
    this.#stanza = undefined;
    this.#add(names, stanza);
    return stanza === block.stanza ? block : { ...block, stanza, base };
  }

  #membersText(group: string): string | undefined {
    const members = this.#groups.get(group);
    return members && [...members].toSorted().join(' ');
  }

  #try(line: ConfLine): void {
    if (this.#isOver) return;
    try {
      this.#line(line);
    } catch (error) {
      if (!(error instanceof Fatal)) throw error;
      this.#isOver = error instanceof TooLarge;
      this.#problems.die(line, error.message);
    }
  }

  /** What all blocks came to. */
  done(): Conf {
    for (const [subconf, { at, names }] of [...this.#ignored].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const list = [...names].toSorted().join(', ');
      this.#problems.warn(at, `subconf '${subconf}' attempting to set access for ${list}`);
    }
    return { groups: this.#groups, stanzas: this.#stanzas, refexes: this.#refexes };
  }

  #line(line: ConfLine): void {
    const { text } = line;
    const [, group, members] = text.startsWith('@') ? (/^(@[^ ]+) = (.*)/s.exec(text) ?? []) : [];
    if (group !== undefined && members !== undefined) return this.#group(line, group, wordsOf(members));
    if (text.startsWith('repo ')) return this.#repositories(line, wordsOf(text.slice('repo '.length)));
    const rule = this.#ruleOf(text);
    if (rule !== undefined) return this.#rules(line, { ...rule, refexes: this.#refexesIn(line, rule.refexes) });
    const [, key, value] = /^config (.+) = ?(.*)/s.exec(text) ?? [];
    if (key !== undefined && value !== undefined) return this.#config(line, key, value);
    // Gitolite takes this one for its own mark of where a delegated part starts, which would let a part pass for another.
    if (/^subconf [^ ]+$/.test(text)) throw new Fatal(`invalid include/subconf file/glob in '${text}'`);
    this.#problems.warn(line, `syntax error, ignoring: '${text}'`);
  }

  /** The same words stand below many `repo` lines. */
  #ruleOf(text: string): RuleWords | undefined {
    const known = this.#ruleWords.get(text);
    if (known !== undefined) return known;
    const [, permission, refexes = '', users] = RULE_LINE.exec(text) ?? [];
    if (permission === undefined || users === undefined) return undefined;
    const words = wordsOf(users);
    const rule = {
      permission,
      refexes: wordsOf(refexes),
      users: words,
      badUser: words.find((user) => !isUserWord(user)),
    };
    this.#ruleWords.set(text, rule);
    return rule;
  }

  #group(line: ConfLine, group: string, words: readonly string[]): void {
    if (!isPlainWord(group)) throw new Fatal(`bad group '${group}'`);
    const bad = words.find((word) => !isPatternWord(word));
    if (bad !== undefined) throw new Fatal(`bad expansion '${bad}'`);
    const members = this.#expand(words);
    const known = this.#groups.get(group) ?? new Set<string>();
    this.#groups.set(group, known);
    for (const member of members) {
      if (known.has(member)) continue;
      known.add(member);
      this.#members += 1;
      if (line.subconf !== MASTER) this.#delegated.add(`${group} ${member}`);
    }
    if (this.#members > MEMBERS_MAX) throw new TooLarge(`groups have at most ${MEMBERS_MAX} members in all`);
  }

  #expand(words: readonly string[]): string[] {
    return [...new Set(words)].flatMap((word) => {
      if (!word.startsWith('@') || word === ALL) return [word];
      const members = this.#groups.get(word);
      if (members === undefined) throw new Fatal(`undefined group '${word}'`);
      return [...members].toSorted();
    });
  }

  #repositories(line: ConfLine, words: readonly string[]): void {
    this.#stanza = { rules: new Map(), settings: [], origin: {} };
    const names: string[] = [];
    const waiting = words.toReversed();
    for (let word = waiting.pop(); word !== undefined; word = waiting.pop()) {
      this.#names += 1;
      if (this.#names > NAMES_MAX) throw new TooLarge(`repo lines have at most ${NAMES_MAX} names in all`);
      if (this.#mayNot(line, word)) {
        const members = this.#groups.get(word);
        if (members === undefined) this.#ignore(line, word);
        else {
          const group = word.replace(`@${line.subconf}.`, '@');
          this.#problems.warn(line, `expanding '${group}'; this *may* slow down compilation`);
          waiting.push(...members);
        }
        continue;
      }
      const name = word.replace(/\.git$/, '');
      if (name !== word) this.#problems.warn(line, `explicit '.git' extension ignored for ${word}`);
      if (!isPatternWord(name)) throw new Fatal(`bad reponame '${name}'`);
      names.push(name);
    }
    const distinct = new Set(names);
    for (const name of distinct) if (!isPlainWord(name)) this.#check(`^${name}$`, name);
    this.#add(distinct, this.#stanza);
    if (this.#block !== undefined) {
      this.#block.names = distinct;
      this.#block.words = words.length;
    }
  }

  #add(names: Iterable<string>, stanza: Stanza): void {
    for (const name of names) {
      const stanzas = this.#stanzas.get(name);
      if (stanzas === undefined) this.#stanzas.set(name, [stanza]);
      else stanzas.push(stanza);
    }
  }

  /** A delegated part speaks of its own repositories only: those that the main conf put into the group of its name. */
  #mayNot({ subconf }: ConfLine, name: string): boolean {
    if (subconf === MASTER || subconf === name || `@${subconf}` === name) return false;
    const own = `@${subconf}`;
    const members = this.#groups.get(own) ?? new Set<string>();
    // Asking about it defines it, as gitolite has it.
    this.#groups.set(own, members);
    return ![...members].some((member) => {
      if (this.#delegated.has(`${own} ${member}`)) return false;
      // Only ever as a pattern: `wild/a{,2}` in the group is not the line `repo wild/a{,2}`.
      return this.#check(`^${member}$`, member)?.find(name, new Meter()) === true;
    });
  }

  #ignore(line: ConfLine, name: string): void {
    const ignored = this.#ignored.get(line.subconf) ?? { at: line, names: new Set<string>() };
    this.#ignored.set(line.subconf, ignored);
    ignored.names.add(name);
  }

  #refexesIn(line: ConfLine, words: readonly string[]): readonly string[] {
    const refexes = this.#expand(words);
    for (const word of words)
      if (word.startsWith('@')) this.#block?.refexGroups.set(word, this.#membersText(word) ?? '');
    if (refexes.length === 0 && words.length > 0)
      this.#problems.warn(line, 'the groups of refexes are empty: the rule is for every ref');
    if (refexes.length === 0) return [DEFAULT_REFEX];
    return refexes.map((refex) => (/^(?:refs|VREF)\//.test(refex) ? refex : `refs/heads/${refex}`));
  }

  #rules(line: ConfLine, { permission, refexes, users, badUser }: RuleWords): void {
    if (badUser !== undefined) throw new Fatal(`bad username '${badUser}'`);
    for (const refex of refexes) {
      if (permission === 'R' && refex !== DEFAULT_REFEX)
        this.#problems.warn(line, `doesn't make sense to supply a ref ('${refex}') for 'R' rule`);
      if (!this.#refexes.has(refex)) {
        if (!isPatternWord(refex)) throw new Fatal(`bad ref '${refex}'`);
        this.#check(`^${refex}`, refex);
        this.#refexes.add(refex);
      }
      this.#block?.refexes.add(refex);
      for (const user of users) this.#rule(line, { permission, refex, user });
    }
  }

  #rule({ file, line, subconf }: ConfLine, rule: Pick<ConfRule, 'permission' | 'refex' | 'user'>): void {
    const { user } = rule;
    if (user.startsWith('@')) {
      this.#block?.userGroups.add(user);
      if (!this.#isKnownGroup(user)) this.#problems.warn({ file, line }, `possible undeclared group '${user}'`);
    }
    const sequence = this.#next();
    const rules = this.#stanza?.rules;
    if (rules === undefined) {
      if (subconf === MASTER) this.#problems.warn({ file, line }, 'the rule stands below no repo line');
      return;
    }
    const list = rules.get(user) ?? [];
    rules.set(user, list);
    list.push({ ...rule, sequence, file, line });
  }

  #isKnownGroup(group: string): boolean {
    const { hasOuterGroups, roles } = this.#settings;
    const name = group.slice(1);
    return this.#groups.has(group) || hasOuterGroups || group === ALL || name === 'CREATOR' || roles.has(name);
  }

  #config({ file, line }: ConfLine, key: string, written: string): void {
    let value = written.replace(/^['"](.*)["']$/s, '$1');
    if (!this.#keys.some((pattern) => pattern.find(key, new Meter())))
      throw new Fatal(`git config '${key}' not allowed; the settings of the site say which keys are`);
    const meter = new Meter();
    if (this.#unsafe?.find(value, meter) !== false || meter.isSpent) throw new Fatal(`bad config value '${value}'`);
    for (const [name, safe] of this.#settings.safeConfig) value = value.replaceAll(`%${name}`, () => safe);
    this.#stanza?.settings.push({ sequence: this.#next(), key, value, file, line });
  }

  #next(): number {
    this.#sequence += 1;
    this.#rulesSeen += 1;
    if (this.#rulesSeen > RULES_MAX) throw new TooLarge(`a conf has at most ${RULES_MAX} rules`);
    return this.#sequence;
  }

  /** @throws Fatal where no automaton can match it. */
  #check(text: string, shown: string): PerlPattern | undefined {
    const compiled = this.#patterns.of(text);
    if (compiled.kind === 'wrong') throw new Fatal(`bad pattern '${shown}': ${compiled.message}`);
    if (this.#patterns.states > STATES_MAX) throw new TooLarge('the patterns of this conf are too large together');
    return compiled.pattern;
  }
}

function movedStanza(stanza: Stanza, steps: number, shift: number): Stanza {
  if (steps === 0 && shift === 0) return stanza;
  const moved = <T extends ConfRule | ConfSetting>(one: T): T => ({
    ...one,
    sequence: one.sequence + steps,
    line: one.line + shift,
  });
  return {
    rules: new Map([...stanza.rules].map(([user, rules]) => [user, rules.map(moved)])),
    settings: stanza.settings.map(moved),
    origin: stanza.origin,
  };
}
