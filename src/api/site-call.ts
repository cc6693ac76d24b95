/**
 * An invocation of a program of a gitolite site as it crosses the control socket. Launchers are tiny and may be written
 * in any language, so that it is no JSON: fields end in NUL, which neither words nor variables can hold.
 */
import type { Readable, Writable } from 'node:stream';
import { BOUNDS } from '../base/bounds.ts';
import { badInput } from '../base/fault.ts';

export const SITE_PROGRAMS = ['gitolite', 'gitolite-shell', 'gatehouse-shell'] as const;
export type SiteProgram = (typeof SITE_PROGRAMS)[number];

/** `1 PROGRAM PID CWD WORDS WORD... NAME=VALUE...`, each with a NUL behind it. */
export interface SiteCall {
  readonly program: SiteProgram;
  /** Of the launcher. */
  readonly pid: number;
  /** Absolute. */
  readonly cwd: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface SiteInvocation extends SiteCall {
  /** Nothing is taken from the caller before somebody reads: what is left stays for who comes after. */
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Aborted when the caller is gone or the gate closes. */
  readonly signal: AbortSignal;
}

/** Serves one account's site. */
export interface SiteDoor {
  /** Whether that is the account with this home, and its data directory is where it was. */
  serves(home: string): Promise<boolean>;
  /** The exit code. */
  invoke(invocation: SiteInvocation): Promise<number>;
}

const FORM = '1';

/** @throws Fault 'bad-input' where the bytes are no such invocation. */
export function parseSiteCall(payload: Buffer): SiteCall {
  const fields = payload.toString('utf8').split('\0');
  // The last field ends in NUL too.
  if (fields.pop() !== '') throw badInput('the invocation is cut short');
  const [form, program = '', pid = '', cwd = '', count = ''] = fields;
  if (form !== FORM) throw badInput('the launcher and the gate are of different versions: restart the gate');
  if (!isSiteProgram(program)) throw badInput('a program of a site is expected');
  if (!/^\d{1,10}$/.test(pid) || !/^\d{1,7}$/.test(count) || !cwd.startsWith('/')) {
    throw badInput('the invocation is malformed');
  }
  const words = Number(count);
  const rest = fields.slice(5);
  if (rest.length < words) throw badInput('the invocation is cut short');
  return { program, pid: Number(pid), cwd, argv: rest.slice(0, words), env: envOf(rest.slice(words)) };
}

export function encodeSiteCall({ program, pid, cwd, argv, env }: SiteCall): Buffer {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const fields = [FORM, program, String(pid), cwd, String(argv.length), ...argv, ...variables];
  const encoded = Buffer.from(fields.map((field) => `${field}\0`).join(''));
  if (encoded.length > BOUNDS.siteCallBytesMax) throw badInput('too many arguments or variables');
  return encoded;
}

function isSiteProgram(word: string): word is SiteProgram {
  return SITE_PROGRAMS.some((program) => program === word);
}

/** As the kernel gives it to a program: the first of two of a name counts; what is no assignment is passed over. */
function envOf(fields: readonly string[]): Readonly<Record<string, string>> {
  const env = new Map<string, string>();
  for (const field of fields) {
    const at = field.indexOf('=');
    const name = field.slice(0, at);
    if (at > 0 && !env.has(name)) env.set(name, field.slice(at + 1));
  }
  return Object.fromEntries(env);
}
