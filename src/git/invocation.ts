/**
 * From a `GitSpec` to the argument vector and the environment that git is started with. The options are checked against
 * `allowed-options.ts`; the environment is built here and nothing of the gate's own is inherited; the configuration
 * given here outranks the repository's own, so that what lies in a repository cannot start a program.
 */
import { isAbsolute } from 'node:path';
import { Fault } from '../base/fault.ts';
import { ALLOWED } from './allowed-options.ts';
import { type GitSpec, SUBCOMMANDS } from './processes.ts';

export interface Invocation {
  /** What follows `git`. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Over the repository's configuration, for every process. docs/isolation.md says what each line is against.
 * GIT_CONFIG_COUNT and its pairs carry it: git hands them on to the processes that it starts itself.
 */
const HARDENING: Readonly<Record<string, string>> = {
  // Nothing that lies in a repository starts a program.
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'core.alternateRefsCommand': ':',
  'core.sshCommand': 'false',
  'core.gitProxy': 'false',
  'core.askPass': 'false',
  'core.editor': 'false',
  'core.pager': 'cat',
  'credential.helper': '',
  'gpg.program': 'false',
  'gpg.openpgp.program': 'false',
  'gpg.ssh.program': 'false',
  'gpg.x509.program': 'false',
  'diff.external': '',
  'tar.tgz.command': 'git archive gzip',
  'tar.tar.gz.command': 'git archive gzip',
  'protocol.allow': 'never',
  'core.attributesFile': '/dev/null',
  'core.excludesFile': '/dev/null',
  // An acknowledged push survives a power cut (docs/isolation.md, "Durability").
  'core.fsync': 'all',
  'core.fsyncMethod': 'fsync',
  // The gate decides when to tidy up.
  'gc.auto': '0',
  'gc.autoDetach': 'false',
  'maintenance.auto': 'false',
  // Bounded memory and processors.
  'core.bigFileThreshold': '16m',
  'pack.threads': '2',
  'pack.windowMemory': '128m',
  'index.threads': '1',
  // Pushes to different refs wait for each other's locks instead of failing.
  'core.filesRefLockTimeout': '5000',
  'core.packedRefsTimeout': '10000',
  // What the gate offers to readers; what they may see is checked before git hears of it (upload/).
  'uploadpack.allowFilter': 'true',
  'uploadpack.allowAnySHA1InWant': 'true',
  'uploadpack.allowRefInWant': 'true',
  'uploadpack.advertiseBundleURIs': 'false',
  'lsrefs.unborn': 'advertise',
  'transfer.advertiseSID': 'false',
  'transfer.advertiseObjectInfo': 'false',
  // The gate runs as one user, repositories may belong to another.
  'safe.directory': '*',
  'safe.bareRepository': 'all',
  'user.name': 'Gatehouse',
  'user.email': 'gatehouse@localhost',
};

/** Outranks `protocol.<name>.allow` of a repository's own configuration, which `protocol.allow` does not. */
const NO_TRANSPORT = 'none';

/** @throws Fault `internal` where the spec asks for what is not allowed: our own bug, never the client's doing. */
export function invocationOf(spec: GitSpec, searchPath: string): Invocation {
  return { argv: argvOf(spec), env: environmentOf(spec, searchPath) };
}

function argvOf(spec: GitSpec): readonly string[] {
  const { subcommand, options = [], operands = [] } = spec;
  if (!SUBCOMMANDS.includes(subcommand)) throw notAllowed('git subcommand is not allowed', { subcommand });
  const { exact, patterns = [], separator, actions, needs = {} } = ALLOWED[subcommand];
  const wrong = options.find((option) => !exact.includes(option) && !patterns.some((pattern) => pattern.test(option)));
  if (wrong !== undefined) throw notAllowed('git option is not allowed', { subcommand, option: wrong });
  for (const [option, others] of Object.entries(needs)) {
    if (options.includes(option) && !others.every((other) => options.includes(other))) {
      throw notAllowed('git option is allowed with others only', { subcommand, option });
    }
  }
  if (operands.some((operand) => operand.includes('\0'))) throw notAllowed('git operand contains NUL', { subcommand });
  if (actions !== undefined) {
    const [action, ...others] = operands;
    if (action === undefined || !actions.includes(action) || others.length > 0) {
      throw notAllowed('git action is not allowed', { subcommand, operands });
    }
    return [subcommand, action, ...options];
  }
  if (operands.length === 0) return [subcommand, ...options];
  if (separator !== '') return [subcommand, ...options, separator, ...operands];
  if (operands.some((operand) => operand.startsWith('-'))) {
    throw notAllowed('git operand looks like an option', { subcommand, operands });
  }
  return [subcommand, ...options, ...operands];
}

function environmentOf(spec: GitSpec, searchPath: string): Readonly<Record<string, string>> {
  for (const path of [spec.gitDir, spec.objectDirectory, ...(spec.writable ?? []), ...(spec.readable ?? [])]) {
    if (path !== undefined && (!isAbsolute(path) || path.includes('\0'))) {
      throw notAllowed('git path is not absolute', { path });
    }
  }
  const env: Record<string, string> = {
    PATH: searchPath,
    HOME: '/nonexistent',
    LC_ALL: 'C',
    TZ: 'UTC',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: spec.subcommand === 'clone' ? 'file' : NO_TRANSPORT,
    GIT_NO_LAZY_FETCH: '1',
    // What is decided is decided about the objects themselves: who may push refs/replace/* changes no decision.
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_OPTIONAL_LOCKS: '0',
  };
  if (spec.gitDir !== undefined) env['GIT_DIR'] = spec.gitDir;
  if (spec.allocationBytesMax !== undefined) env['GIT_ALLOC_LIMIT'] = String(spec.allocationBytesMax);
  if (spec.protocol !== undefined) env['GIT_PROTOCOL'] = `version=${spec.protocol}`;
  if (spec.objectDirectory !== undefined) Object.assign(env, quarantineOf(spec, spec.objectDirectory));
  return Object.assign(env, configurationOf({ ...HARDENING, ...spec.config }));
}

function quarantineOf(spec: GitSpec, objectDirectory: string): Readonly<Record<string, string>> {
  if (spec.gitDir === undefined) throw notAllowed('quarantine without a repository', { objectDirectory });
  return {
    GIT_OBJECT_DIRECTORY: objectDirectory,
    GIT_ALTERNATE_OBJECT_DIRECTORIES: quoteAlternate(`${spec.gitDir}/objects`),
    // git itself then refuses to let a ref point at what is not in the repository yet.
    GIT_QUARANTINE_PATH: objectDirectory,
  };
}

/** git(1), GIT_ALTERNATE_OBJECT_DIRECTORIES: separated by `:`; quoted as in C where a path contains one. */
function quoteAlternate(path: string): string {
  if (!/[:"\\\n]/.test(path)) return path;
  return `"${path.replaceAll(/[\\"]/g, String.raw`\$&`).replaceAll('\n', String.raw`\n`)}"`;
}

function configurationOf(config: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const env: Record<string, string> = {};
  let count = 0;
  for (const [key, value] of Object.entries(config)) {
    if (!/^[A-Za-z][\w.*/-]*\.[A-Za-z][\w-]*$/.test(key) || value.includes('\0')) {
      throw notAllowed('git configuration is not allowed', { key });
    }
    env[`GIT_CONFIG_KEY_${count}`] = key;
    env[`GIT_CONFIG_VALUE_${count}`] = value;
    count += 1;
  }
  env['GIT_CONFIG_COUNT'] = String(count);
  return env;
}

function notAllowed(message: string, context: Readonly<Record<string, unknown>>): Fault {
  return new Fault('internal', message, { context });
}
