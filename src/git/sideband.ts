/**
 * The sideband (gitprotocol-pack, "side-band, side-band-64k"): pack data on band 1, progress on 2, the fatal error on 3,
 * multiplexed into pkt-lines of at most 1000 or 65520 bytes.
 */
import type { Writable } from 'node:stream';
import { BOUNDS } from '../base/bounds.ts';
import { encodePkt, pktHeader } from './pkt-line.ts';
import { assertWritable, drained, writeAll } from './stream.ts';

export type SidebandMode = 'none' | 'small' | '64k';

const SMALL_PKT_BYTES_MAX = 1_000;
/** Length digits and band number. */
const OVERHEAD = 5;
const PAYLOAD_BYTES_MAX = { none: 0, small: SMALL_PKT_BYTES_MAX - OVERHEAD, '64k': BOUNDS.pktBytesMax - OVERHEAD };

/** Each call writes whole pkts at once, so calls may overlap; every call honours back-pressure. */
export class Sideband {
  readonly #output: Writable;
  readonly #signal: AbortSignal | undefined;
  readonly mode: SidebandMode;

  constructor(output: Writable, mode: SidebandMode, signal?: AbortSignal) {
    this.#output = output;
    this.#signal = signal;
    this.mode = mode;
  }

  /** Band 1; without a sideband the bytes as they are. @throws Fault `aborted` where the peer is gone. */
  async data(chunk: Uint8Array): Promise<void> {
    if (this.mode === 'none') await writeAll(this.#output, chunk, this.#signal);
    else await this.#band(1, chunk);
  }

  /** Band 2, shown by clients as `remote: ...`; nothing without a sideband. `text` brings its own line ends. */
  async progress(text: string): Promise<void> {
    if (this.mode !== 'none') await this.#band(2, Buffer.from(text));
  }

  /** Band 3: the client prints it and gives up. Without a sideband an ERR pkt, which most clients understand. */
  async fatal(text: string): Promise<void> {
    const line = Buffer.from(text.endsWith('\n') ? text : `${text}\n`);
    if (this.mode !== 'none') await this.#band(3, line.subarray(0, PAYLOAD_BYTES_MAX[this.mode]));
    else await writeAll(this.#output, encodePkt(`ERR ${text.slice(0, 8_192)}`), this.#signal);
  }

  /** An empty band 1 pkt: the client ignores it, middle boxes see traffic. Nothing without a sideband. */
  async keepAlive(): Promise<void> {
    if (this.mode !== 'none') await writeAll(this.#output, KEEP_ALIVE, this.#signal);
  }

  async #band(band: 1 | 2 | 3, payload: Uint8Array): Promise<void> {
    const step = PAYLOAD_BYTES_MAX[this.mode];
    for (let offset = 0; offset < payload.byteLength; offset += step) {
      const part = payload.subarray(offset, offset + step);
      assertWritable(this.#output, this.#signal);
      // Two writes under one cork: the payload is not copied, and nothing can come between them.
      this.#output.cork();
      this.#output.write(`${pktHeader(part.byteLength + 1)}${String.fromCharCode(band)}`, 'latin1');
      this.#output.write(part);
      this.#output.uncork();
      await drained(this.#output, this.#signal);
    }
  }
}

const KEEP_ALIVE = Buffer.from('0005\u0001');
