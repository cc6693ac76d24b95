/**
 * The log for engineers: one JSON line on standard error for each event, a verb phrase and fields. pino
 * does the work behind this interface. Fields whose names speak of secrets are blanked, whoever passes them.
 */
import { pino, stdTimeFunctions, type DestinationStream, type Logger } from 'pino';
import { Fault } from '../base/fault.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  /** Whether lines of `info` are written: who would make many fields for one asks first. */
  readonly hasInfo: boolean;
  /** @param message a verb phrase without data: data are fields. An `error` field is written with its causes. */
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A log whose every line has these fields too. */
  child(fields: LogFields): Log;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Default: standard error. Each `write` gets one whole line. */
  readonly destination?: DestinationStream;
}

const SECRET = /password|passwd|passphrase|secret|authorization|cookie|private_?key|token$/i;
/** User and password in a URL. */
const USER_INFO = /(:\/\/)[^/@\s]+@/g;
const DEPTH_MAX = 8;
const TEXT_MAX = 16_384;
const ITEMS_MAX = 256;
const CAUSES_MAX = 8;

export function createLog(options: LogOptions): Log {
  // Synchronous: the line that says why the process died must be out before it dies.
  const destination = options.destination ?? standardError();
  const settings = {
    level: options.level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    messageKey: 'message',
  };
  return new PinoLog(pino(settings, destination));
}

function standardError(): DestinationStream {
  const stream = pino.destination({ fd: 2, sync: true });
  // Whoever read standard error may go away; the gate does not go with them.
  stream.on('error', () => {});
  return stream;
}

/** For tests and tools that keep quiet. */
export const SILENT_LOG: Log = {
  hasInfo: false,
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => SILENT_LOG,
};

class PinoLog implements Log {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get hasInfo(): boolean {
    return this.#logger.isLevelEnabled('info');
  }

  debug(fields: LogFields, message: string): void {
    // The fields are copied only for lines that are written.
    if (this.#logger.isLevelEnabled('debug')) this.#logger.debug(cleanFields(fields), message);
  }

  info(fields: LogFields, message: string): void {
    if (this.#logger.isLevelEnabled('info')) this.#logger.info(cleanFields(fields), message);
  }

  warn(fields: LogFields, message: string): void {
    if (this.#logger.isLevelEnabled('warn')) this.#logger.warn(cleanFields(fields), message);
  }

  error(fields: LogFields, message: string): void {
    if (this.#logger.isLevelEnabled('error')) this.#logger.error(cleanFields(fields), message);
  }

  child(fields: LogFields): Log {
    return new PinoLog(this.#logger.child(cleanFields(fields)));
  }
}

function cleanFields(fields: LogFields): Record<string, unknown> {
  const entries = Object.entries(fields).map(([name, value]) => [name, clean(name, value, 0)]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

function clean(name: string, value: unknown, depth: number): unknown {
  if (SECRET.test(name)) return '[secret]';
  if (typeof value === 'string') return cleanText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return '[deep]';
  if (value instanceof Error) return cleanError(value, depth);
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Set) return clean(name, [...value], depth);
  if (value instanceof Map) return clean(name, Object.fromEntries(value), depth);
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((item) => clean('', item, depth + 1));
  const entries = Object.entries(value).slice(0, ITEMS_MAX);
  return Object.fromEntries(entries.map(([inner, item]) => [inner, clean(inner, item, depth + 1)]));
}

function cleanText(text: string): string {
  const short = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
  return short.includes('://') ? short.replace(USER_INFO, '$1***@') : short;
}

function cleanError(error: Error, depth: number): Record<string, unknown> {
  const fault = error instanceof Fault ? { code: error.code, context: clean('', error.context, depth + 1) } : {};
  const system = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  const cause = error.cause instanceof Error && depth < CAUSES_MAX ? { cause: cleanError(error.cause, depth + 1) } : {};
  return {
    type: error.name,
    message: cleanText(error.message),
    stack: cleanText(error.stack ?? ''),
    ...system,
    ...fault,
    ...cause,
  };
}
