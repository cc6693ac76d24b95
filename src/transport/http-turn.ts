/**
 * The moment in which everything is parsed that was read from all connections in this turn of the event loop. Requests that
 * came together go on together: one wait for all of them, and one look at what they all ask about.
 */

let next: Promise<void> | undefined;

/** Resolves in the check phase of this turn: a request whose body came with its head has it by then. */
export function turnParsed(): Promise<void> {
  next ??= new Promise((resolve) => {
    setImmediate(() => {
      next = undefined;
      resolve();
    });
  });
  return next;
}
