/** The thread that writes: an fsync of some milliseconds here does not hold up the requests being served. */
import { parentPort, workerData } from 'node:worker_threads';
import { connect } from './sqlite-file.ts';
import { SqliteWriter, type LogBounds, type RowResult, type RowTransaction } from './sqlite-writer.ts';

export interface WriterOptions {
  readonly path: string;
  readonly bounds: LogBounds;
}

export type WriterRequest =
  | { readonly kind: 'apply'; readonly transactions: readonly RowTransaction[] }
  | { readonly kind: 'close' };

/** One answer for each `apply`, in order. */
export type WriterAnswer = readonly RowResult[];

const port = parentPort;
if (port !== null) {
  const { path, bounds } = workerData as WriterOptions;
  const database = connect(path);
  const writer = new SqliteWriter(database, bounds);
  port.on('message', (request: WriterRequest) => {
    if (request.kind === 'apply') {
      const answer: WriterAnswer = writer.apply(request.transactions);
      port.postMessage(answer);
      return;
    }
    database.close();
    port.close();
  });
}
