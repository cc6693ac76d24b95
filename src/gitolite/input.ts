/** What a command reads from its caller: bounded, whole or line by line. */
import { BOUNDS } from '../base/bounds.ts';
import { readChunk } from '../git/stream.ts';
import type { Run } from './run.ts';
import { dies } from './words.ts';

/** To its end. @throws `dies` beyond `bytesMax`. */
export async function readInput(run: Run, bytesMax: number = BOUNDS.commandInputBytesMax): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of inputChunks(run, bytesMax)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Each with its line end, as soon as it is there; one character a byte. @throws `dies` beyond `bytesMax` in all. */
export async function* inputLines(
  run: Run,
  bytesMax: number = BOUNDS.commandInputBytesMax,
): AsyncGenerator<string, void, undefined> {
  let rest = '';
  for await (const chunk of inputChunks(run, bytesMax)) {
    const lines = (rest + chunk.toString('latin1')).split(/(?<=\n)/);
    const last = lines.at(-1) ?? '';
    rest = last.endsWith('\n') ? '' : last;
    yield* rest === '' ? lines : lines.slice(0, -1);
  }
  if (rest !== '') yield rest;
}

/** Leaves the stream open: the invocation is its owner. */
async function* inputChunks(run: Run, bytesMax: number): AsyncGenerator<Buffer, void, undefined> {
  let bytes = 0;
  for (;;) {
    const chunk = await readChunk(run.stdin, run.signal);
    if (chunk === undefined) return;
    bytes += chunk.length;
    if (bytes > bytesMax) throw dies(`input is larger than ${bytesMax} bytes`);
    yield chunk;
  }
}
