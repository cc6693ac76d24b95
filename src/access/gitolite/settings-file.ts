/** `conf/gitolite.toml`: what a gitolite site says in its rc file and decisions depend on. Read strictly. */
import { didYouMean } from '../../base/nearest.ts';
import { fileProblem, type Problem } from '../problem.ts';
import { readToml } from '../toml-file.ts';
import { DEFAULT_SETTINGS, SUGARS, type ConfSettings, type Sugar } from './conf-settings.ts';

export type ReadSettings =
  | { readonly kind: 'ok'; readonly settings: ConfSettings }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[] };

const KEYS = ['hostname', 'config-keys', 'safe-config', 'roles', 'sugar'] as const;

/** @param text undefined: there is no such file, and the defaults hold. */
export function readConfSettings(file: string, text: string | undefined): ReadSettings {
  if (text === undefined) return { kind: 'ok', settings: SITE_DEFAULTS };
  const read = readToml(file, text);
  if (read.kind === 'wrong') return read;
  const { values } = read;
  const problems: Problem[] = [];
  const wrong = (message: string): undefined => void problems.push(fileProblem(file, message));
  for (const key of Object.keys(values))
    if (!KEYS.some((known) => known === key)) wrong(`unknown key ${key}${didYouMean(key, KEYS)}`);
  const hostname = values['hostname'];
  if (hostname !== undefined && (typeof hostname !== 'string' || !/^[-\w.]+$/.test(hostname)))
    wrong('hostname is a name of letters, digits and . - _');
  const list = (key: (typeof KEYS)[number]): readonly string[] | undefined => {
    const value = values[key];
    if (value === undefined) return undefined;
    return isTexts(value) ? value : wrong(`${key} is a list of texts`);
  };
  const roles = list('roles');
  const badRole = roles?.find((role) => !/^[A-Z][A-Z0-9_]*$/.test(role) || role === 'CREATOR');
  if (badRole !== undefined) wrong(`${badRole} is no role: they are in capitals, and CREATOR is nobody's to give`);
  const sugar = list('sugar') ?? [];
  const badSugar = sugar.find((name) => !SITE_SUGARS.some((known) => known === name));
  if (badSugar !== undefined) wrong(`unknown sugar ${badSugar}${didYouMean(badSugar, SITE_SUGARS)}`);
  const safeConfig = values['safe-config'] ?? {};
  if (!isTextTable(safeConfig)) wrong('safe-config is a table of texts');
  if (problems.length > 0) return { kind: 'wrong', problems };
  const settings: ConfSettings = {
    ...SITE_DEFAULTS,
    ...(typeof hostname === 'string' ? { hostname } : {}),
    configKeys: list('config-keys') ?? [],
    safeConfig: new Map(isTextTable(safeConfig) ? Object.entries(safeConfig) : []),
    roles: roles === undefined ? SITE_DEFAULTS.roles : new Set(roles),
    sugar: SUGARS.filter((one) => sugar.includes(one)),
  };
  return { kind: 'ok', settings };
}

/** Keys are the directory's here, so there are no directories of them to make groups of. */
const SITE_SUGARS: readonly Sugar[] = SUGARS.filter((sugar) => sugar !== 'keysubdirs-as-groups');

/** Users have groups of the directory. */
const SITE_DEFAULTS: ConfSettings = { ...DEFAULT_SETTINGS, hasOuterGroups: true };

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function isTextTable(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && isTexts(Object.values(value));
}
