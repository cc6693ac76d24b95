/** Journal lines that have a number and are not on disk yet, some of them waited for. */
import type { Fault } from '../base/fault.ts';
import type { JournalEntry } from './entry.ts';
import type { EncodedLine } from './line.ts';

export interface PendingLine {
  readonly entry: JournalEntry;
  readonly time: string;
  readonly line: EncodedLine;
  /** Absent: nobody waits for it. */
  readonly settle?: { readonly resolve: () => void; readonly reject: (fault: Fault) => void };
}

export class PendingLines {
  #lines: PendingLine[] = [];
  #unwritten: string[] = [];
  #bytes = 0;
  #unwrittenBytes = 0;
  #waiting = 0;

  get count(): number {
    return this.#lines.length;
  }

  /** UTF-16 units, which bounds memory; bytes in the file may be up to three times as many. */
  get bytes(): number {
    return this.#bytes;
  }

  get unwrittenBytes(): number {
    return this.#unwrittenBytes;
  }

  /** How many are waited for. */
  get waiting(): number {
    return this.#waiting;
  }

  add(pending: PendingLine): void {
    const { length } = pending.line.text;
    this.#lines.push(pending);
    this.#bytes += length;
    this.#unwritten.push(pending.line.text);
    this.#unwrittenBytes += length;
    if (pending.settle !== undefined) this.#waiting += 1;
  }

  /** What was not handed to the file yet, in order. */
  takeUnwritten(): Buffer {
    const bytes = Buffer.from(this.#unwritten.join(''));
    this.#unwritten = [];
    this.#unwrittenBytes = 0;
    return bytes;
  }

  /** Everything up to `seq` is on disk: those who wait for it go on. */
  settle(seq: number): void {
    const first = this.#lines[0]?.line.seq ?? seq + 1;
    for (const pending of this.#lines.splice(0, Math.max(0, seq - first + 1))) {
      this.#bytes -= pending.line.text.length;
      if (pending.settle === undefined) continue;
      this.#waiting -= 1;
      pending.settle.resolve();
    }
  }

  /** Takes everything out. Those who wait are told; what nobody waits for comes back, for another attempt. */
  drop(fault: Fault): { readonly kept: readonly PendingLine[]; readonly refused: number } {
    const lines = this.takeAll();
    for (const pending of lines) pending.settle?.reject(fault);
    const kept = lines.filter((pending) => pending.settle === undefined);
    return { kept, refused: lines.length - kept.length };
  }

  takeAll(): readonly PendingLine[] {
    const lines = this.#lines;
    this.#lines = [];
    this.#unwritten = [];
    this.#bytes = 0;
    this.#unwrittenBytes = 0;
    this.#waiting = 0;
    return lines;
  }
}
