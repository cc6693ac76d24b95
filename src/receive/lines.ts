/**
 * Lines of a child's output without making a string of each: a push may bring millions of objects, and each is a line.
 */
import { Fault } from '../base/fault.ts';

/** Far above any line asked for here: an oid and a path. */
const LINE_BYTES_MAX = 1024 * 1024;
const LF = 0x0a;

/** Chunks cut so that each ends with a whole line. @throws Fault `process` where a line has no end. */
export async function* wholeLines(output: AsyncIterable<unknown>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of output) {
    if (!Buffer.isBuffer(chunk)) throw new Fault('internal', 'output is not bytes');
    const end = chunk.lastIndexOf(LF) + 1;
    if (end > 0) {
      yield Buffer.concat([...held, chunk.subarray(0, end)]);
      held = [];
      heldBytes = 0;
    }
    held.push(chunk.subarray(end));
    heldBytes += chunk.length - end;
    if (heldBytes > LINE_BYTES_MAX) throw new Fault('process', 'git wrote a line that is too long');
  }
  if (heldBytes > 0) throw new Fault('process', 'git was cut off in a line');
}

/** Calls `visit` with the bounds of each line in `lines`, its line end excluded. */
export function eachLine(lines: Buffer, visit: (start: number, end: number) => void): void {
  for (let start = 0; start < lines.length;) {
    const end = lines.indexOf(LF, start);
    visit(start, end);
    start = end + 1;
  }
}
