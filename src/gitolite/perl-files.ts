/**
 * The conf in the form that gitolite keeps its own: `conf/gitolite.conf-compiled.pm`, `conf/rule_info` and each
 * repository's `gl-conf`. We never read them. Programs of a site that are written against gitolite's Perl modules do, and
 * so does gitolite itself, should a site go back to it.
 */
import { chmodSync } from 'node:fs';
import type { CompiledConf } from '../access/gitolite/compile-conf.ts';
import type { Conf, ConfRule, Stanza } from '../access/gitolite/conf.ts';
import { isPlainWord } from '../access/gitolite/words.ts';
import { Stint } from '../base/stint.ts';
import { repositoryPath, SENTINEL_FILE, statOf, textOf, writeText } from './disk.ts';
import type { Rc } from './rc.ts';

/** The version of the form: gitolite 3.2 and later. */
const DATA_VERSION = '3.2';

/** A Perl value as Data::Dumper shows it; numbers are bare, texts quoted. */
type Dumped = string | number | readonly Dumped[] | ReadonlyMap<string, Dumped>;

/** With more names than this behind `repo`, whoever pushes the conf does not wait for the files. */
const AWAITED_NAMES_MAX = 1_000;

/**
 * One site's files, written one time after another; a newer conf ends the writing of an older one. Files that hold what a
 * conf before this one said the same are not looked at; after a start all are.
 */
export class PerlFiles {
  #latest: object | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** What the repositories' files hold, also where the writing of them all was ended. */
  readonly #held = new Map<string, readonly Stanza[]>();
  #place = '';

  /** Resolves when they are written; with many, when they will be. What stays the same is not written. */
  async write(rc: Rc, { conf }: Pick<CompiledConf, 'conf'>): Promise<void> {
    const latest = {};
    this.#latest = latest;
    const isOver = (): boolean => this.#latest !== latest;
    const before = this.#writing;
    const writing = before.catch(() => {}).then(() => this.#writeAll(rc, conf, isOver));
    this.#writing = writing;
    if (conf.stanzas.size <= AWAITED_NAMES_MAX) await writing;
    // Told to whoever comes next: nothing of ours depends on these files.
    else writing.catch(() => {});
  }

  /** Resolves when nothing is being written. */
  async writtenOut(): Promise<void> {
    await this.#writing.catch(() => {});
  }

  /** What the file of a repository that has none is to hold: whoever writes it says so to `noteWritten`. */
  newText(rc: Rc, conf: Conf, name: string): string {
    // Else the writing of an older conf might come in between.
    this.#latest = undefined;
    this.#settle(rc);
    this.#held.delete(name);
    return repositoryText(conf, name);
  }

  noteWritten(conf: Conf, name: string): void {
    this.#held.set(name, conf.stanzas.get(name) ?? []);
  }

  async #writeAll(rc: Rc, conf: Conf, isOver: () => boolean): Promise<void> {
    const stint = new Stint();
    const split = new Map<string, Dumped>();
    this.#settle(rc);
    for (const name of this.#held.keys()) if (!conf.stanzas.has(name)) this.#held.delete(name);
    for (const [name, stanzas] of conf.stanzas) {
      if (stint.isOver) await stint.rest();
      if (isOver()) return;
      if (!isPlainWord(name) || !isSaying(stanzas)) continue;
      if (!isHeld(stanzas, this.#held.get(name))) {
        if (statOf(repositoryPath(rc, name))?.isDirectory() !== true) continue;
        replaceText(sentinelPath(rc, name), repositoryText(conf, name), rc);
      }
      this.#held.set(name, stanzas);
      split.set(name, 1);
    }
    const common = `${rc.adminBase}/conf/gitolite.conf-compiled.pm`;
    replaceText(common, commonText(conf, split), rc);
    // Of the umask as it is now, unlike the others: gitweb's group may have to read it since.
    chmodSync(common, 0o666 & ~rc.umask);
    replaceText(`${rc.adminBase}/conf/rule_info`, ruleInfoText(conf), rc);
  }

  /** Settings may move the repositories. */
  #settle({ repositoryBase }: Rc): void {
    if (this.#place !== repositoryBase) this.#held.clear();
    this.#place = repositoryBase;
  }
}

function sentinelPath(rc: Rc, name: string): string {
  return `${repositoryPath(rc, name)}/${SENTINEL_FILE}`;
}

/** Whether the same rules have the same numbers: those of one stanza move together. */
function isHeld(stanzas: readonly Stanza[], held: readonly Stanza[] | undefined): boolean {
  if (stanzas === held) return true;
  if (stanzas.length !== held?.length) return false;
  return stanzas.every((stanza, i) => {
    const other = held[i];
    if (stanza === other) return true;
    return other !== undefined && stanza.origin === other.origin && firstOf(stanza) === firstOf(other);
  });
}

function firstOf({ rules, settings }: Stanza): number | undefined {
  for (const [first] of rules.values()) return first?.sequence;
  return settings[0]?.sequence;
}

function replaceText(path: string, text: string, rc: Rc): void {
  const bytes = Buffer.byteLength(text);
  if (statOf(path)?.size !== bytes || textOf(path, bytes) !== text) writeText(path, text, rc);
}

/** `gl-conf` of one repository. */
export function repositoryText({ stanzas }: Conf, name: string): string {
  const own = stanzas.get(name) ?? [];
  const [rules, settings] = [rulesOf(own), settingsOf(own)];
  return [
    ...(rules.size > 0 ? [hash('one_repo', new Map([[name, rules]]))] : []),
    ...(settings.length > 0 ? [hash('one_config', new Map([[name, settings]]))] : []),
  ].join('');
}

/** @param split names whose part stands in their own file */
export function commonText({ stanzas, groups }: Conf, split: ReadonlyMap<string, Dumped>): string {
  const rest = [...stanzas].filter(([name]) => !split.has(name));
  const repos = new Map<string, Dumped>();
  const configs = new Map<string, Dumped>();
  for (const [name, own] of rest) {
    const [rules, settings] = [rulesOf(own), settingsOf(own)];
    if (rules.size > 0) repos.set(name, rules);
    if (settings.length > 0) configs.set(name, settings);
  }
  const memberships = membershipsOf(groups);
  const patterns = new Map<string, Dumped>();
  for (const member of memberships.keys()) if (!isPlainWord(member)) patterns.set(member, 1);
  return [
    `$data_version = '${DATA_VERSION}';\n`,
    hash('repos', repos),
    ...(configs.size > 0 ? [hash('configs', configs)] : []),
    ...(groups.size > 0 ? [hash('groups', memberships)] : []),
    ...(patterns.size > 0 ? [hash('patterns', new Map([['groups', patterns]]))] : []),
    ...(split.size > 0 ? [hash('split_conf', split)] : []),
  ].join('');
}

/** Number, file and line of each rule. */
function ruleInfoText({ stanzas }: Conf): string {
  const bySequence = new Map<number, ConfRule>();
  for (const list of stanzas.values())
    for (const { rules } of list)
      for (const some of rules.values()) for (const rule of some) bySequence.set(rule.sequence, rule);
  const sorted = [...bySequence.values()].sort((a, b) => a.sequence - b.sequence);
  return sorted.map(({ sequence, file, line }) => `${sequence}\t${file}\t${line}\n`).join('');
}

function isSaying(stanzas: readonly Stanza[]): boolean {
  return stanzas.some(({ rules, settings }) => rules.size > 0 || settings.length > 0);
}

function rulesOf(stanzas: readonly Stanza[]): ReadonlyMap<string, Dumped> {
  const byUser = new Map<string, ConfRule[]>();
  for (const { rules } of stanzas)
    for (const [user, list] of rules) byUser.set(user, [...(byUser.get(user) ?? []), ...list]);
  return new Map(
    [...byUser].map(([user, list]) => [
      user,
      list
        .sort((a, b) => a.sequence - b.sequence)
        .map(({ sequence, permission, refex }) => [sequence, permission, refex]),
    ]),
  );
}

function settingsOf(stanzas: readonly Stanza[]): readonly Dumped[] {
  const settings = stanzas.flatMap((stanza) => stanza.settings);
  return settings.sort((a, b) => a.sequence - b.sequence).map(({ sequence, key, value }) => [sequence, key, value]);
}

function membershipsOf(groups: Conf['groups']): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const [group, members] of groups) {
    for (const member of members) {
      const known = found.get(member);
      if (known === undefined) found.set(member, [group]);
      else known.push(group);
    }
  }
  return found;
}

function hash(name: string, value: ReadonlyMap<string, Dumped>): string {
  return `%${name} = ${value.size === 0 ? '()' : `(\n${entriesOf(value, '  ')}\n)`};\n`;
}

function dumped(value: Dumped, indent: string): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return quoted(value);
  const inner = `${indent}  `;
  if (isList(value)) {
    if (value.length === 0) return '[]';
    return `[\n${value.map((each) => `${inner}${dumped(each, inner)}`).join(',\n')}\n${indent}]`;
  }
  return value.size === 0 ? '{}' : `{\n${entriesOf(value, inner)}\n${indent}}`;
}

function entriesOf(value: ReadonlyMap<string, Dumped>, indent: string): string {
  const sorted = [...value].sort(([a], [b]) => byBytes(a, b));
  return sorted.map(([key, each]) => `${indent}${quoted(key)} => ${dumped(each, indent)}`).join(',\n');
}

function isList(value: readonly Dumped[] | ReadonlyMap<string, Dumped>): value is readonly Dumped[] {
  return Array.isArray(value);
}

function quoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
