/** Output of git that ends each name in NUL (`-z`), field by field. */
import { Fault } from '../../base/fault.ts';

/** Fields that end in NUL, without holding them all. */
export async function* fieldsIn(output: AsyncIterable<unknown>): AsyncGenerator<string> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of output) {
    if (!Buffer.isBuffer(chunk)) throw new Fault('internal', 'output is not bytes');
    const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const end = bytes.lastIndexOf(0) + 1;
    if (end > 0) yield* bytes.toString('utf8', 0, end - 1).split('\0');
    held = bytes.subarray(end);
    if (held.length > FIELD_BYTES_MAX) throw new Fault('process', 'git wrote a name that is too long');
  }
  if (held.length > 0) throw new Fault('process', 'git was cut off in a name');
}

const FIELD_BYTES_MAX = 1024 * 1024;
