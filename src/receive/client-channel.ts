/**
 * Everything a push says to its client: messages at once on sideband 2, signs of life while work goes on, the report at
 * the end. A client that stops reading is given up after `stallMs`, whatever it has agreed to.
 */
import type { Writable } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { encodePkt, FLUSH } from '../git/pkt-line.ts';
import { Sideband } from '../git/sideband.ts';
import { writeAll } from '../git/stream.ts';
import type { ClientAbilities } from './push-request.ts';
import { oneLine, plainLines } from './report.ts';

/** Messages that wait for a slow client; further ones are dropped, for the report says what matters. */
const WAITING_BYTES_MAX = 1024 * 1024;
const PIECE_BYTES = 60_000;
const DATA_BAND = Buffer.of(1);

export interface ChannelOptions {
  readonly output: Writable;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly stallMs: number;
  readonly keepAliveMs: number;
}

export class ClientChannel implements Disposable {
  readonly #options: ChannelOptions;
  readonly #stalled = new AbortController();
  readonly #signal: AbortSignal;
  #sideband: Sideband | undefined;
  #abilities: ClientAbilities | undefined;
  #waitingBytes = 0;
  #said: Promise<void> = Promise.resolve();
  #cancelKeepAlive: (() => void) | undefined;

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stalled.signal]);
  }

  /** Whether `tell` reaches anybody. */
  get hasSideband(): boolean {
    return this.#sideband !== undefined;
  }

  /** From here on the client's way of listening is known. */
  agree(abilities: ClientAbilities): void {
    this.#abilities = abilities;
    if (!abilities.sideband) return;
    this.#sideband = new Sideband(this.#options.output, '64k', this.#signal);
    this.#keepAlive();
  }

  /** Text for a person, shown as `remote: ...`; nothing where there is no sideband. Never waits, never throws. */
  tell(text: string): void {
    const sideband = this.#sideband;
    const bytes = Buffer.byteLength(text);
    if (sideband === undefined || this.#waitingBytes + bytes > WAITING_BYTES_MAX) return;
    this.#waitingBytes += bytes;
    const lines = plainLines(text.endsWith('\n') ? text : `${text}\n`);
    this.#said = this.#said
      .then(() => this.#bounded(() => sideband.progress(lines)))
      .catch(() => {}) // a client that is gone is noticed where it matters: at the report
      .finally(() => {
        this.#waitingBytes -= bytes;
      });
  }

  /** Bytes as they are, outside any sideband: the advertisement. @throws Fault `aborted`, `timeout`. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#pieces(bytes, (piece) => writeAll(this.#options.output, piece, this.#signal));
  }

  /** The report and the flush that ends the conversation. @throws Fault `aborted`, `timeout`. */
  async report(report: Uint8Array): Promise<void> {
    this[Symbol.dispose]();
    await this.#said;
    const sideband = this.#sideband;
    const hasReport = this.#abilities?.report === true;
    // As a rule it is short: one write with what ends it.
    if (hasReport && sideband !== undefined && report.byteLength <= PIECE_BYTES) {
      await this.write(Buffer.concat([encodePkt(Buffer.concat([DATA_BAND, report])), FLUSH]));
      return;
    }
    if (hasReport) {
      await (sideband === undefined ? this.write(report) : this.#pieces(report, (piece) => sideband.data(piece)));
    }
    if (sideband !== undefined) await this.write(FLUSH);
  }

  /** The last word to a client that broke the protocol or met our own failure. Never throws. */
  async fail(text: string): Promise<void> {
    this[Symbol.dispose]();
    await this.#said;
    const line = `gatehouse: ${oneLine(text)}`;
    const sideband = this.#sideband;
    try {
      if (sideband !== undefined) {
        await this.#bounded(() => sideband.fatal(line));
        await this.write(FLUSH);
      } else if (this.#abilities?.report === true) {
        await this.write(Buffer.concat([encodePkt(`unpack ${line}\n`), FLUSH]));
      } else {
        await this.write(encodePkt(`ERR ${line}`));
      }
    } catch {
      // Nobody listens any more: the journal has it.
    }
  }

  [Symbol.dispose](): void {
    this.#cancelKeepAlive?.();
    this.#cancelKeepAlive = undefined;
  }

  #keepAlive(): void {
    this.#cancelKeepAlive = this.#options.clock.after(this.#options.keepAliveMs, () => {
      const sideband = this.#sideband;
      // One that is not taken says enough: no second one behind it.
      if (this.#waitingBytes === 0 && !this.#options.output.writableNeedDrain) {
        this.#said = this.#said.then(() => this.#bounded(async () => sideband?.keepAlive())).catch(() => {});
      }
      this.#keepAlive();
    });
  }

  async #pieces(bytes: Uint8Array, write: (piece: Uint8Array) => Promise<void>): Promise<void> {
    for (let offset = 0; offset < bytes.byteLength; offset += PIECE_BYTES) {
      await this.#bounded(() => write(bytes.subarray(offset, offset + PIECE_BYTES)));
    }
  }

  async #bounded(write: () => Promise<void>): Promise<void> {
    const cancel = this.#options.clock.after(this.#options.stallMs, () => {
      this.#stalled.abort(new Fault('timeout', 'client does not read'));
    });
    try {
      await write();
    } finally {
      cancel();
    }
  }
}
