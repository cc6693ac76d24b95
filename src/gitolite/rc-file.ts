/** Reads the settings of an account, `~/.gitolite.rc`, without running it, and remembers them while its files stay as they are. */
import { readFile, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { expandEnabled } from './non-core.ts';
import { followProgram } from './perl-program.ts';
import { isBroken, type PerlHash, type PerlValue } from './perl-value.ts';
import { PerlVariables } from './perl-variables.ts';
import { isHash, isTrue, listOf, scalarOf, wordsOf } from './rc-value.ts';
import { type Rc, type RcValue, type ReadRc, TRIGGER_POINTS, type TriggerPoint } from './rc.ts';
import type { Env } from './run.ts';
import { dies } from './words.ts';

const FILE_BYTES_MAX = 1024 * 1024;
const REMEMBERED_MAX = 64;
/** The coarsest file system clock that is still common ticks in seconds. */
const RACY_MS = 1_100;

/** Known to gitolite, and not acted upon here. */
const IDLE_SETTINGS: ReadonlyMap<string, string> = new Map([
  ['CACHE', 'what is in force is held in memory, no Redis is needed'],
  ['CACHE_TTL', 'what is in force is held in memory, no Redis is needed'],
  ['ALLOW_ORPHAN_GL_CONF', 'rules are kept in one place, none are read from repositories'],
  ['TPROXY_FORWARDS_TO', 'requests are not handed on to another server'],
]);

/** Variables of gitolite's own, beside its settings: what names and commands are made of. */
const IDLE_PATTERNS = [
  '$REMOTE_COMMAND_PATT',
  '$REF_OR_FILENAME_PATT',
  '$REPONAME_PATT',
  '$REPOPATT_PATT',
  '$USERNAME_PATT',
] as const;

interface SettingsFile {
  readonly path: string;
  readonly text: string;
  readonly stamp: string;
  /** It might change again without another stamp. */
  readonly isRacy: boolean;
}

interface Remembered {
  readonly files: readonly (SettingsFile | undefined)[];
  /** What was asked of the environment, and what it answered. */
  readonly asked: ReadonlyMap<string, string | undefined>;
  readonly rc: Rc;
}

/** @param options.binDirectory where `gitolite` and `gitolite-shell` of this server lie. */
export function createRcReader(options: { readonly binDirectory: string }): ReadRc {
  const remembered = new Map<string, Remembered>();
  return async (home, env) => {
    const paths = [join(home, '.gitolite.rc'), env['G3T_RC']];
    const key = JSON.stringify([home, paths[1] ?? '']);
    const known = remembered.get(key);
    const files = await Promise.all(paths.map((path, index) => readSettings(path, known?.files[index])));
    if (known !== undefined && isStillSo(known, files, env)) return known.rc;
    const asked = new Map<string, string | undefined>();
    const rc = settingsOf({
      home,
      binDirectory: options.binDirectory,
      files,
      environment: (name) => {
        const value = name === 'HOME' ? home : env[name];
        asked.set(name, value);
        return value;
      },
    });
    remembered.delete(key);
    remembered.set(key, { files, asked, rc });
    for (const oldest of remembered.keys()) {
      if (remembered.size <= REMEMBERED_MAX) break;
      remembered.delete(oldest);
    }
    return rc;
  };
}

/** The same file object again where nothing changed. Undefined: there is none, or it is empty. */
async function readSettings(
  path: string | undefined,
  known: SettingsFile | undefined,
): Promise<SettingsFile | undefined> {
  if (path === undefined) return undefined;
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(path);
    const stamp = [dev, ino, size, mtimeMs, ctimeMs].join(' ');
    if (known?.stamp === stamp && !known.isRacy) return known;
    if (size > FILE_BYTES_MAX) throw dies(`${path} is larger than ${FILE_BYTES_MAX} bytes`);
    const isRacy = Math.max(mtimeMs, ctimeMs) > Date.now() - RACY_MS;
    const text = await readFile(path, 'utf8');
    if (text === '') return undefined;
    return { path, text, stamp, isRacy };
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES')) {
      return undefined;
    }
    throw error;
  }
}

function isStillSo(known: Remembered, files: Remembered['files'], env: Env): boolean {
  if (known.files.some((file, index) => file?.text !== files[index]?.text)) return false;
  return [...known.asked].every(([name, value]) => name === 'HOME' || env[name] === value);
}

interface Given {
  readonly home: string;
  readonly binDirectory: string;
  readonly files: readonly (SettingsFile | undefined)[];
  readonly environment: (name: string) => string | undefined;
}

function settingsOf({ home, binDirectory, files: [own, over], environment }: Given): Rc {
  const variables = new PerlVariables(environment);
  const notUnderstood: string[] = [];
  const rc = variables.hash('rc');
  rc.set('GL_BINDIR', binDirectory);
  rc.set('GL_LIBDIR', join(binDirectory, 'lib'));
  rc.set('GL_REPO_BASE', join(home, 'repositories'));
  rc.set('GL_ADMIN_BASE', join(home, '.gitolite'));
  rc.set('LOG_TEMPLATE', join(home, '.gitolite/logs/gitolite-%y-%m.log'));
  if (own !== undefined) follow(own, variables, notUnderstood);
  if (variables.isKnown('$GL_ADMINDIR')) {
    throw dies(
      `'${own?.path ?? ''}' seems to be for older gitolite; please see\nhttp://gitolite.com/gitolite/migr.html`,
    );
  }
  for (const [key, value] of variables.hash('RC')) rc.set(key, value);
  if (rc.get('ENABLE') !== undefined) expandEnabled(rc);
  const first = rc.get('ACCESS_1');
  rc.set('ACCESS_1', ['Writable::access_1', ...(Array.isArray(first) ? first : [])]);
  if (over !== undefined) follow(over, variables, notUnderstood);
  for (const [key, why] of IDLE_SETTINGS) {
    if (rc.has(key)) notUnderstood.push(`${own?.path ?? over?.path ?? ''}:${lineOf(own, key)}: ${key}: ${why}`);
  }
  for (const name of IDLE_PATTERNS) {
    if (variables.isKnown(name))
      notUnderstood.push(
        `${own?.path ?? over?.path ?? ''}:${lineOf(own, name)}: ${name}: what names and commands are made of is the same for every site here`,
      );
  }
  const unsafeValue = unsafeIn(variables);
  return read(valuesOf(rc), { unsafeValue, home, binDirectory, notUnderstood, env: textsOf(variables.environment) });
}

function follow(file: SettingsFile, variables: PerlVariables, notUnderstood: string[]): void {
  try {
    for (const { line, what } of followProgram(file.text, variables)) {
      notUnderstood.push(`${file.path}:${line}: ${what}`);
    }
  } catch (error) {
    if (!isBroken(error)) throw error;
    throw dies(`${file.path}, line ${Number(error.context['line'])}: ${String(error.context['what'])}`, error);
  }
}

function unsafeIn(variables: PerlVariables): string | undefined {
  const root = '$UNSAFE_PATT';
  const value = variables.isKnown(root) ? variables.get({ sigil: '$', root, keys: [], line: 0 }) : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function lineOf(file: SettingsFile | undefined, key: string): number {
  const index = (file?.text ?? '')
    .split('\n')
    .findIndex((line) => new RegExp(`^[^#]*\\b${key.replace('$', '')}\\b`).test(line));
  return index + 1;
}

interface Around {
  readonly unsafeValue: string | undefined;
  readonly home: string;
  readonly binDirectory: string;
  readonly notUnderstood: readonly string[];
  readonly env: Env;
}

function read(values: Rc['values'], { unsafeValue, home, binDirectory, notUnderstood, env }: Around): Rc {
  const commands = values['COMMANDS'];
  return {
    home,
    values,
    repositoryBase: absolute(scalarOf(values['GL_REPO_BASE']), home),
    adminBase: absolute(scalarOf(values['GL_ADMIN_BASE']), home),
    binDirectory,
    localCode: isTrue(values['LOCAL_CODE']) ? absolute(scalarOf(values['LOCAL_CODE']), home) : undefined,
    umask: umaskOf(values['UMASK']),
    hostname: isTrue(values['HOSTNAME']) ? scalarOf(values['HOSTNAME']) : undefined,
    configKeys: wordsOf(scalarOf(values['GIT_CONFIG_KEYS'])),
    safeConfig: new Map(textPairs(values['SAFE_CONFIG'])),
    unsafeValue,
    roles: new Set(truePairs(values['ROLES']).map(([role]) => role)),
    commands: new Map(isHash(commands) ? truePairs(commands) : []),
    sugar: textsIn(values['SYNTACTIC_SUGAR']),
    triggers: new Map<TriggerPoint, readonly string[]>(TRIGGER_POINTS.map((point) => [point, textsIn(values[point])])),
    groupListProgram: isTrue(values['GROUPLIST_PGM']) ? scalarOf(values['GROUPLIST_PGM']) : undefined,
    env,
    notUnderstood,
  };
}

function absolute(path: string, home: string): string {
  return isAbsolute(path) ? path : join(home, path);
}

/** A text is read as decimal, as Perl does. */
function umaskOf(value: RcValue | undefined): number {
  const mask = Number.parseInt(scalarOf(value), 10);
  return Number.isInteger(mask) && mask > 0 ? mask & 0o777 : 0o077;
}

function textsIn(value: RcValue | undefined): readonly string[] {
  return listOf(value).filter((item) => typeof item === 'string');
}

function textPairs(value: RcValue | undefined): readonly (readonly [string, string])[] {
  return isHash(value) ? Object.entries(value).map(([key, text]) => [key, scalarOf(text)] as const) : [];
}

function truePairs(value: RcValue | undefined): readonly (readonly [string, string])[] {
  return isHash(value) ? textPairs(value).filter(([key, text]) => isTrue(text) || typeof value[key] === 'object') : [];
}

function textsOf(hash: PerlHash): Env {
  return Object.fromEntries([...hash].map(([name, value]) => [name, typeof value === 'string' ? value : '']));
}

/** As readers want it: no prototype, so that a name out of a command line finds nothing but settings. */
function valuesOf(hash: PerlHash): Rc['values'] {
  const values: Record<string, RcValue> = Object.create(null) as Record<string, RcValue>;
  for (const [key, value] of hash) if (value !== undefined) values[key] = valueOf(value);
  return values;
}

function valueOf(value: PerlValue): RcValue {
  if (value === undefined) return '';
  if (value instanceof Map) return valuesOf(value);
  // Holes too: `map` would step over them.
  return Array.isArray(value) ? Array.from(value, valueOf) : value;
}
