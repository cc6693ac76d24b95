/**
 * One session channel of an authenticated client: the protocol version from its environment, then one command
 * line or a greeting. Everything else that a session may ask for (terminal, subsystem, X11, agent) has no
 * listener here, which ssh2 answers with a failure.
 */
import type { Connection, ServerChannel, Session } from 'ssh2';
import { Fault } from '../base/fault.ts';
import { openChannel } from './ssh-channel.ts';
import { parseProtocol } from './door.ts';
import type { SshWire } from './ssh-wire.ts';
import type { Execution } from './ssh-exec.ts';

/** What the connection does with a command line: everything but who asks and the streams is known here. */
export type RunLine = (line: Omit<Execution, 'origin'>) => Promise<number>;

/** Every session ends with it; as in ssh-connection.ts, a fault for each would cost more than the end. */
const CLOSED = new Fault('aborted', 'ssh client closed the channel');

export class SshSession {
  readonly #client: Connection;
  readonly #wire: SshWire;
  readonly #run: RunLine;
  readonly #abort = new AbortController();
  #protocol: 0 | 1 | 2 = 0;
  #running = false;

  /** @param options.signal aborted when the connection is gone. */
  constructor(options: {
    readonly session: Session;
    readonly client: Connection;
    readonly wire: SshWire;
    readonly signal: AbortSignal;
    readonly run: RunLine;
  }) {
    const { session, signal } = options;
    this.#client = options.client;
    this.#wire = options.wire;
    this.#run = options.run;
    const onGone = (): void => {
      this.#abort.abort(signal.reason);
    };
    signal.addEventListener('abort', onGone, { once: true });
    session.on('error', () => {});
    // The client closed this channel; a mere end of its input is not that.
    session.once('close', () => {
      signal.removeEventListener('abort', onGone);
      this.#abort.abort(CLOSED);
    });
    session.on('env', (accept, reject, { key, val }: { key: string; val: unknown }) => {
      if (key !== 'GIT_PROTOCOL' || typeof val !== 'string') {
        // `reject` is absent where the client wants no answer, whatever the types say.
        answer(reject);
        return;
      }
      this.#protocol = parseProtocol(val);
      answer(accept);
    });
    session.on('exec', (accept, _reject, { command }) => {
      this.#start(accept(), command);
    });
    session.on('shell', (accept) => {
      this.#start(accept(), undefined);
    });
    session.on('signal', (accept, _reject, { name }: { name: string }) => {
      answer(accept);
      if (STOPPING.has(name)) this.#abort.abort(new Fault('aborted', 'ssh client sent a signal'));
    });
  }

  get running(): boolean {
    return this.#running;
  }

  /** Ends what runs. */
  abort(reason: Fault): void {
    this.#abort.abort(reason);
  }

  #start(channel: ServerChannel | undefined, line: string | undefined): void {
    // ssh2 gives no channel for a second command in one session.
    if (channel === undefined || this.#running) return;
    this.#running = true;
    const { signal } = this.#abort;
    const streams = openChannel({ client: this.#client, wire: this.#wire, channel, signal });
    const { stdin, stdout, stderr } = streams;
    void this.#run({ line, protocol: this.#protocol, stdin, stdout, stderr, signal })
      .catch(() => 1)
      .then((exit) => streams.finish(exit))
      .finally(() => {
        this.#running = false;
      });
  }
}

const STOPPING: ReadonlySet<string> = new Set(['HUP', 'INT', 'KILL', 'QUIT', 'TERM']);

function answer(reply: unknown): void {
  if (typeof reply === 'function') reply();
}
