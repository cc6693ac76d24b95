/** A child's output line by line, with a bound on how long a line is held. */
import { StringDecoder } from 'node:string_decoder';
import type { Readable } from 'node:stream';
import { Fault } from '../base/fault.ts';
import { readChunk } from '../git/stream.ts';

const LINE_LENGTH_MAX = 64 * 1024;

/** Without the newline; a last line without one counts. @throws Fault 'process' where a line has over 65,536 characters. */
export async function* linesOf(input: Readable): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for (;;) {
    const chunk = await readChunk(input);
    rest += chunk === undefined ? decoder.end() : decoder.write(chunk);
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
    if (rest.length > LINE_LENGTH_MAX) throw new Fault('process', 'git wrote an endless line');
    if (chunk === undefined) break;
  }
  if (rest !== '') yield rest;
}
