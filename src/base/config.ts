/**
 * `gatehouse.toml` and the flags of `gatehouse serve`, read strictly against `settings.ts`: flags over file
 * over defaults. An unknown key is an error that names the nearest known one; every effective value remembers
 * where it came from.
 */
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { ok, refuse, type Parsed } from './fault.ts';
import { isJsonObject } from './json.ts';
import { didYouMean } from './nearest.ts';
import { readSetting, showSetting } from './setting-values.ts';
import { SETTING_IDS, settingOf, type Setting, type SettingId, type Settings } from './settings.ts';

export interface Config {
  /** Absolute. */
  readonly dataDirectory: string;
  readonly settings: Settings;
  /** Public keys of the administrator that a first start makes, in place of those that `admin-key` names. */
  readonly administratorKeys?: readonly string[];
  /** `default`, `FILE:LINE`, `flag --ssh`. */
  readonly origins: Readonly<Record<SettingId, string>>;
}

export interface ConfigSources {
  /** Texts by flag, in the order given: `--ssh` -> ['127.0.0.1:0']. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly dataDirectory: string;
  /** `--config FILE`, absolute; absent: `gatehouse.toml` in the data directory, if there. */
  readonly file?: string;
  readonly cwd: string;
}

interface Given {
  readonly texts: readonly string[];
  readonly origin: string;
  readonly resolvePath: (path: string) => string;
}

/** The effective configuration, or every problem with it, a line each. */
export function loadConfig(sources: ConfigSources): Parsed<Config> {
  const file = readConfigFile(sources);
  if (file.kind === 'refused') return file;
  const values: Record<string, unknown> = {};
  const origins: Partial<Record<SettingId, string>> = {};
  const problems: string[] = [];
  for (const id of SETTING_IDS) {
    const setting = settingOf(id);
    const given = fromFlag(setting, sources) ?? file.value.get(id) ?? fromDefault(setting);
    const read = readSetting(setting, given.texts, given.resolvePath);
    if (read.kind === 'refused') problems.push(`${given.origin}: ${setting.key}: ${read.reason}`);
    else values[id] = read.value;
    origins[id] = given.origin;
  }
  if (problems.length > 0) return refuse(problems.join('\n'));
  // Every id of the table was set by the loop above, to what its type reads.
  const settings = values as unknown as Settings;
  if ((settings.tlsCert === '') !== (settings.tlsKey === ''))
    return refuse('http.tls-cert and http.tls-key go together');
  return ok({ dataDirectory: sources.dataDirectory, settings, origins: origins as Config['origins'] });
}

function fromFlag(setting: Setting, sources: ConfigSources): Given | undefined {
  const texts = setting.flag === undefined ? undefined : sources.flags.get(setting.flag);
  if (texts === undefined) return undefined;
  return { texts, origin: `flag ${setting.flag ?? ''}`, resolvePath: (path) => resolve(sources.cwd, path) };
}

function fromDefault(setting: Setting): Given {
  return { texts: [setting.default], origin: 'default', resolvePath: (path) => path };
}

function readConfigFile(sources: ConfigSources): Parsed<ReadonlyMap<SettingId, Given>> {
  const path = sources.file ?? join(sources.dataDirectory, 'gatehouse.toml');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    if (code === 'ENOENT' && sources.file === undefined) return ok(new Map());
    return refuse(`${path} cannot be read (${code})`);
  }
  return parseConfigFile(path, text);
}

/** What the file says of each setting; the first problem names file, line and the nearest known key. */
export function parseConfigFile(path: string, text: string): Parsed<ReadonlyMap<SettingId, Given>> {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    if (error instanceof TomlError) return refuse(`${path}:${error.line}:${error.column}: ${firstLine(error.message)}`);
    throw error;
  }
  const given = new Map<SettingId, Given>();
  const problems: string[] = [];
  for (const { key, value } of leaves(document)) {
    const origin = `${path}:${lineOf(text, key) ?? '?'}`.replace(/:\?$/, '');
    const id = SETTING_IDS.find((id) => settingOf(id).key === key);
    const texts = id === undefined ? undefined : textsOf(settingOf(id), value);
    if (id === undefined)
      problems.push(
        `${origin}: unknown key ${key}${didYouMean(
          key,
          SETTING_IDS.map((id) => settingOf(id).key),
        )}`,
      );
    else if (texts === undefined) problems.push(`${origin}: ${key} is ${expectation(settingOf(id))}`);
    else given.set(id, { texts, origin, resolvePath: (target) => resolve(dirname(path), target) });
  }
  return problems.length > 0 ? refuse(problems.join('\n')) : ok(given);
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '');
}

/** Every value that is no table, with its dotted key. */
function* leaves(value: unknown, prefix = ''): Generator<{ readonly key: string; readonly value: unknown }> {
  if (!isJsonObject(value) || value instanceof Date) {
    yield { key: prefix, value };
    return;
  }
  for (const [key, inner] of Object.entries(value)) yield* leaves(inner, prefix === '' ? key : `${prefix}.${key}`);
}

/** The value as texts, or undefined where its TOML type does not fit the setting. */
function textsOf(setting: Setting, value: unknown): readonly string[] | undefined {
  const isNumeric = setting.type === 'bytes' || setting.type === 'count';
  if (isNumeric && (typeof value === 'number' || typeof value === 'bigint')) return [String(value)];
  if (setting.type === 'paths') {
    return Array.isArray(value) && value.every((entry) => typeof entry === 'string') ? value : undefined;
  }
  return typeof value === 'string' ? [value] : undefined;
}

function expectation(setting: Setting): string {
  if (setting.type === 'paths') return 'a list of file names in quotation marks';
  if (setting.type === 'count') return 'a whole number';
  const what = setting.type === 'bytes' ? 'a size' : setting.type === 'address' ? 'an address' : `a ${setting.type}`;
  return `${what} in quotation marks`;
}

/** The line (from 1) on which `key` is set; undefined where it is written in a way that this does not follow. */
function lineOf(text: string, key: string): number | undefined {
  let table = '';
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*\[+\s*([A-Za-z0-9_.\- "']+?)\s*\]+/.exec(line)?.[1];
    if (header !== undefined) table = `${plainKey(header)}.`;
    const name = /^\s*([A-Za-z0-9_.\- "']+?)\s*=/.exec(line)?.[1];
    if (name !== undefined && (`${table}${plainKey(name)}` === key || key.startsWith(`${table}${plainKey(name)}.`)))
      return index + 1;
  }
  return undefined;
}

function plainKey(text: string): string {
  return text.replace(/["'\s]/g, '');
}

/** One line a setting: key, value, origin; for `gatehouse config show`. */
export interface ShownSetting {
  readonly key: string;
  readonly value: string;
  readonly origin: string;
  readonly meaning: string;
}

export function showConfig(config: Config): readonly ShownSetting[] {
  return SETTING_IDS.map((id) => {
    const setting = settingOf(id);
    return {
      key: setting.key,
      value: showSetting(setting, config.settings[id]),
      origin: config.origins[id],
      meaning: setting.meaning,
    };
  });
}
