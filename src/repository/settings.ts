/**
 * A repository's settings: known ones with a type, others as free text for a site's own rules. Setting `readers.*`
 * appends to the list `readers`. Gitano's `project.` in front means the same key without it.
 */
import { Buffer } from 'node:buffer';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed, type Refusal } from '../base/fault.ts';
import { nearest } from '../base/nearest.ts';
import { parseBytes } from '../base/units.ts';
import { parseRefname, type Refname } from '../git/refname.ts';
import type { SettingValue } from './repository.ts';
import { parseLine } from './text.ts';

export type Settings = Readonly<Record<string, SettingValue>>;

type Reading = (value: SettingValue) => Parsed<SettingValue>;

const KNOWN: ReadonlyMap<string, Reading> = new Map<string, Reading>([
  ['readers', parseGroups],
  ['writers', parseGroups],
  ['guests', parseGroups],
  ['public', parseSwitch],
  ['protected', parseBranches],
  ['default-branch', parseBranch],
  ['description', (value) => parseOne(value, parseDescription)],
  ['owner', (value) => parseOne(value, (text) => ok(text))],
  ['limits.pack-bytes', parseSize],
  ['limits.object-bytes', parseSize],
  ['scan', parseScan],
]);

/** Keys with a meaning of their own, for help and completion. */
export const KNOWN_SETTINGS: readonly string[] = [...KNOWN.keys()];

const KEY = /^[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*$/;
const GROUP = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
// What `settings[key]` must not find on an object that does not have it.
const INHERITED: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(Object.prototype));

export interface SettingKey {
  readonly key: string;
  /** Written `key.*`: the value joins the list. */
  readonly appends: boolean;
  /** The key looks like a slip for a known one. */
  readonly warning?: string;
}

export function parseSettingKey(text: string): Parsed<SettingKey> {
  const appends = text.endsWith('.*');
  const bare = (appends ? text.slice(0, -2) : text).replace(/^project\./, '');
  const key = bare === 'head' ? 'default-branch' : bare;
  if (Buffer.byteLength(text) > BOUNDS.settingKeyBytesMax) {
    return refuse(`a setting's key has at most ${BOUNDS.settingKeyBytesMax} bytes`);
  }
  if (!KEY.test(key) || INHERITED.has(key)) {
    return refuse("a setting's key holds lower-case letters and digits, with single . or - between them");
  }
  const near = KNOWN.has(key) ? undefined : nearest(key, KNOWN.keys());
  const warning = near === undefined ? {} : { warning: `${key} has no meaning of its own; did you mean ${near}?` };
  return ok({ key, appends, ...warning });
}

/** The settings with that one set, or taken away where `value` is undefined. */
export function withSetting(settings: Settings, key: SettingKey, value: SettingValue | undefined): Parsed<Settings> {
  const old = Object.hasOwn(settings, key.key) ? settings[key.key] : undefined;
  if (value === undefined) {
    if (old === undefined) return refuse(`there is no setting ${key.key}`);
    return ok(Object.fromEntries(Object.entries(settings).filter(([each]) => each !== key.key)));
  }
  const read = KNOWN.get(key.key) ?? parseFree;
  const added = read(key.appends && typeof value === 'string' ? [value] : value);
  if (added.kind === 'refused') return refuse(`${key.key}: ${added.reason}`);
  const wanted = key.appends ? joined(old, added.value) : added;
  if (wanted.kind === 'refused') return refuse(`${key.key}: ${wanted.reason}`);
  const changed = { ...settings, [key.key]: wanted.value };
  return Object.keys(changed).length > BOUNDS.settingsMax
    ? refuse(`a repository has at most ${BOUNDS.settingsMax} settings`)
    : ok(changed);
}

/** The settings with one entry of that list taken away; a list without entries is no setting. */
export function withoutEntry(settings: Settings, { key }: SettingKey, entry: string): Parsed<Settings> {
  const old = Object.hasOwn(settings, key) ? settings[key] : undefined;
  if (!Array.isArray(old) || !old.includes(entry)) return refuse(`that is not in ${key}`);
  const left = old.filter((each: string) => each !== entry);
  const others = Object.fromEntries(Object.entries(settings).filter(([each]) => each !== key));
  return ok(left.length === 0 ? others : { ...settings, [key]: left });
}

/** Every setting of a repository to be, checked; the keys `description` and `owner` have their own fields. */
export function parseSettings(given: Settings): Parsed<Settings> {
  let settings: Settings = {};
  for (const [text, value] of Object.entries(given)) {
    const key = parseSettingKey(text);
    if (key.kind === 'refused') return key;
    if (key.value.key === 'description' || key.value.key === 'owner')
      return refuse(`${key.value.key} is no setting here`);
    const changed = withSetting(settings, key.value, value);
    if (changed.kind === 'refused') return changed;
    settings = changed.value;
  }
  return ok(settings);
}

/** What HEAD points at, as the settings say it. */
export function headOf(settings: Settings): Refname {
  const branch = settings['default-branch'];
  const refname = parseRefname(`refs/heads/${typeof branch === 'string' ? branch : 'main'}`);
  return refname ?? ('refs/heads/main' as Refname); // unreachable: parseBranch let it in
}

export function parseDescription(text: string): Parsed<string> {
  return parseLine(text, { what: 'a description', bytesMax: BOUNDS.descriptionBytesMax });
}

/** A user name as far as this floor knows; whether there is such a user is asked elsewhere. */
export function parseOwner(text: string): Parsed<string> {
  return GROUP.test(text) && !text.includes('..') ? ok(text) : refuse('an owner is a user name');
}

function joined(old: SettingValue | undefined, added: SettingValue): Parsed<SettingValue> {
  if (typeof old === 'string') return refuse('it is one value, not a list: delete it first');
  const list = [...new Set([...(old ?? []), ...(typeof added === 'string' ? [added] : added)])];
  return list.length > BOUNDS.settingListMax ? refuse(`at most ${BOUNDS.settingListMax} entries`) : ok(list);
}

function parseFree(value: SettingValue): Parsed<SettingValue> {
  if (typeof value === 'string') return parseValue(value);
  if (value.length > BOUNDS.settingListMax) return refuse(`at most ${BOUNDS.settingListMax} entries`);
  for (const entry of value) {
    const parsed = parseValue(entry);
    if (parsed.kind === 'refused') return parsed;
  }
  return ok(value.map((entry) => entry.trim()));
}

function parseValue(text: string): Parsed<string> {
  return parseLine(text, { what: 'a value', bytesMax: BOUNDS.settingValueBytesMax });
}

/** Names in a list, or in one text with spaces or commas between them. */
function parseGroups(value: SettingValue): Parsed<SettingValue> {
  const names = (typeof value === 'string' ? [value] : value).flatMap(wordsOf);
  const wrong = names.find((name) => !GROUP.test(name));
  if (wrong !== undefined) return refuse('each entry is the name of a group: letters, digits and . _ -');
  const list = [...new Set(names)];
  return list.length > BOUNDS.settingListMax ? refuse(`at most ${BOUNDS.settingListMax} entries`) : ok(list);
}

/** As groups; a branch's name holds neither a space nor a comma in a list. */
function parseBranches(value: SettingValue): Parsed<SettingValue> {
  const list: string[] = [];
  for (const name of (typeof value === 'string' ? [value] : value).flatMap(wordsOf)) {
    const branch = parseBranch(name);
    if (branch.kind === 'refused') return branch;
    if (typeof branch.value === 'string' && !list.includes(branch.value)) list.push(branch.value);
  }
  return list.length > BOUNDS.settingListMax ? refuse(`at most ${BOUNDS.settingListMax} entries`) : ok(list);
}

/** Names with spaces or commas between them. */
function wordsOf(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}

function parseSwitch(value: SettingValue): Parsed<SettingValue> {
  return parseOne(value, (text) => {
    const word = text.toLowerCase();
    if (['yes', 'true', 'on', '1'].includes(word)) return ok('yes');
    return ['no', 'false', 'off', '0'].includes(word) ? ok('no') : refuse('yes or no');
  });
}

/** Whether pushes are scanned for secrets; `report` tells and refuses nothing. */
function parseScan(value: SettingValue): Parsed<SettingValue> {
  return parseOne(value, (text) => {
    const word = text.toLowerCase();
    return ['on', 'off', 'report'].includes(word) ? ok(word) : refuse('on, off or report');
  });
}

function parseBranch(value: SettingValue): Parsed<SettingValue> {
  return parseOne(value, (text) => {
    const branch = text.replace(/^refs\/heads\//, '');
    const shown = parseLine(branch, { what: 'the name of a branch', bytesMax: BOUNDS.refnameBytesMax });
    if (shown.kind === 'refused') return shown;
    return parseRefname(`refs/heads/${branch}`) === undefined ? refuse('that is no name of a branch') : ok(branch);
  });
}

function parseSize(value: SettingValue): Parsed<SettingValue> {
  return parseOne(value, (text) => {
    const bytes = parseBytes(text);
    return bytes.kind === 'refused' ? bytes : ok(String(bytes.value));
  });
}

function parseOne(value: SettingValue, read: (text: string) => Parsed<string>): Parsed<string> | Refusal {
  const text = typeof value === 'string' ? value : value[0];
  if (text === undefined || (typeof value !== 'string' && value.length > 1))
    return refuse('it is one value, not a list');
  return read(text);
}
