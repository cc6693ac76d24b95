/**
 * SIGTERM and SIGINT: the first asks the gate to stop, a second ends the process at once. SIGHUP is the end of a
 * terminal, and without one a request to read the TLS certificate again.
 */

export interface Stop extends Disposable {
  /** Resolves at the first signal. */
  readonly asked: Promise<void>;
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
/**
 * Under `npm start` one Ctrl-C arrives up to three times: from the terminal, from npm, and from start.mjs, which
 * hands on what it gets. What comes this soon after the first is taken for the same.
 */
const BURST_MS = 500;
/** How often the gate looks whether the process that started it is still there. */
const PARENT_POLL_MS = 1_000;

export function awaitStop(options: { readonly onHangUp: () => void }): Stop {
  const startedBy = Number(process.env['GATEHOUSE_STARTED_BY'] ?? 0);
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  let firstMs: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    const nowMs = performance.now();
    if (firstMs === undefined) {
      firstMs = nowMs;
      process.stderr.write(
        `gatehouse: ${signal}: no new requests, running ones get up to 10 s; again to end at once\n`,
      );
      resolve();
    } else if (startedBy === 0 || nowMs - firstMs > BURST_MS) {
      process.exit(1);
    }
  };
  const onHangUp = (): void => {
    if (process.stdin.isTTY) onSignal('SIGHUP');
    else options.onHangUp();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  process.on('SIGHUP', onHangUp);
  const timer = setInterval(() => {
    if (startedBy > 0 && process.ppid !== startedBy && firstMs === undefined) onSignal('SIGTERM');
  }, PARENT_POLL_MS);
  timer.unref();
  return {
    asked,
    [Symbol.dispose]() {
      clearInterval(timer);
      for (const signal of SIGNALS) process.off(signal, onSignal);
      process.off('SIGHUP', onHangUp);
    },
  };
}
