/** One SSH client: its login, its sessions, its end. */
import type { AuthContext, Connection, PublicKeyAuthContext } from 'ssh2';
import { BOUNDS } from '../base/bounds.ts';
import { isWithin } from '../base/cidr.ts';
import { newId, type Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { principalLabel, type Principal } from '../identity/principal.ts';
import { spoken, type DoorLog, type DoorMetrics } from './door.ts';
import { execute, type Execution, type ExecutionParts } from './ssh-exec.ts';
import { hastenCipher } from '../base/ssh-cipher.ts';
import { holdOffer, type OfferRules } from '../base/ssh-exchange.ts';
import { clientPacketBytes } from '../base/ssh-internals.ts';
import { fingerprintOf, isModern, isProven, type KeyOffer } from './ssh-key.ts';
import { SshSession } from './ssh-session.ts';
import { turnedAway, type TurnedAwayAbout } from './turned-away.ts';
import type { SshWire } from './ssh-wire.ts';

export interface SshConnectionParts extends ExecutionParts {
  readonly directory: {
    /** Leaves no note: for a key that is only asked about. */
    isKnownKey(blob: Buffer): Promise<boolean>;
    /** Notes the use: for a key whose possession was proved. */
    byKey(blob: Buffer, address: string): Promise<Principal | undefined>;
  };
  readonly clock: Clock;
  readonly log: DoorLog;
  readonly metrics?: DoorMetrics;
}

/** ssh2 would offer `ssh-rsa` (SHA-1) with every RSA host key. Which cipher costs what: docs/decisions/106. */
const OFFER_RULES: OfferRules = {
  withdrawn: ['ssh-rsa'],
  favouredCiphers: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'],
};

/** Where no round trip takes long: this machine, and private networks (RFC 1918, 4193, 4291). */
const NEAR = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '::1/128',
  'fc00::/7',
  'fe80::/10',
] as const;

/** Every connection ends with it: one for all, since a stack that nobody reads costs more than the rest of the end. */
const CLOSED = new Fault('aborted', 'ssh connection closed');

export class SshConnection {
  readonly wire: SshWire;
  readonly #parts: SshConnectionParts;
  readonly #id: string;
  readonly #address: string;
  readonly #gone = new AbortController();
  readonly #sessions = new Set<SshSession>();
  readonly #cancelLogin: () => void;
  readonly #onLogin: () => void;
  #client: Connection | undefined;
  #keyBlob: Buffer | undefined;
  #attempts = 0;
  /** Logins refused before one was accepted. */
  #refused = 0;
  #closing = false;

  constructor(options: {
    readonly wire: SshWire;
    readonly id: string;
    readonly address: string;
    readonly parts: SshConnectionParts;
    /** Called once, when the client has logged in. */
    readonly onLogin: () => void;
  }) {
    const { wire, parts } = options;
    this.wire = wire;
    this.#parts = parts;
    this.#id = options.id;
    this.#address = options.address;
    this.#onLogin = options.onLogin;
    this.#cancelLogin = parts.clock.after(BOUNDS.sshAuthMs, () => wire.destroy());
    wire.once('close', () => {
      this.#cancelLogin();
      this.#gone.abort(CLOSED);
      this.#journalStranger();
    });
  }

  /** The client has identified itself: called by ssh2's 'connection' event, before the key exchange. */
  attach(client: Connection): void {
    this.#client = client;
    const holdMs = isWithin(NEAR, this.#address) ? BOUNDS.sshOfferHoldNearMs : BOUNDS.sshOfferHoldMs;
    const release = holdOffer(client, OFFER_RULES);
    // Not at once: where this process was busy, the client's offer may be here unread.
    const cancelHold = this.#parts.clock.after(holdMs, () => void setImmediate(release));
    this.wire.once('close', cancelHold);
    client.on('handshake', () => {
      cancelHold();
      hastenCipher(client);
    });
    client.on('error', (error) => {
      this.#parts.log.debug({ connection: this.#id, address: this.#address, error }, 'drop ssh connection');
      // Not where the connection was merely lost.
      const level: unknown = Reflect.get(error, 'level');
      if (level === 'protocol' || level === 'handshake')
        this.#turnAway({ event: 'connect', reason: `the SSH protocol was broken: ${error.message}` });
      // ssh2 says its goodbye and ends its side; the wire does not wait long for the client's.
      if (!this.wire.writableEnded) this.wire.end();
    });
    client.on('authentication', (context) => {
      void this.#authenticate(context);
    });
    client.on('ready', () => {
      this.#cancelLogin();
      this.#onLogin();
    });
    client.on('request', (_accept, reject) => {
      // Forwarding from here is not served. With a listener, ssh2 also honours `no-more-sessions@openssh.com`.
      if (typeof reject === 'function') reject();
    });
    client.on('session', (accept, reject) => {
      if (this.#closing || this.#sessions.size >= BOUNDS.sshSessionsMax) {
        reject();
        return;
      }
      const session = accept();
      if ((clientPacketBytes(session) ?? 0) < BOUNDS.sshClientPacketBytesMin) {
        this.wire.destroy();
        return;
      }
      const own = new SshSession({
        session,
        client,
        wire: this.wire,
        signal: this.#gone.signal,
        run: (line) => this.#execute(line),
      });
      this.#sessions.add(own);
      session.once('close', () => {
        this.#sessions.delete(own);
        if (this.#closing) this.#endIfIdle();
      });
    });
  }

  /** No new sessions; the connection ends when the last one does, at once where nobody has logged in. */
  close(): void {
    this.#closing = true;
    if (this.#keyBlob === undefined) this.wire.destroy();
    else this.#endIfIdle();
  }

  #endIfIdle(): void {
    for (const session of this.#sessions) if (session.running) return;
    try {
      this.#client?.end();
    } catch {
      // ssh2 throws where the connection broke in the meantime.
    }
    if (!this.wire.writableEnded) this.wire.end();
  }

  /** At the end of a connection on which nobody logged in. Who says nothing only looks whether the port is open. */
  #journalStranger(): void {
    if (this.#keyBlob !== undefined || this.#closing) return;
    const { bytesRead } = this.wire;
    if (this.#client === undefined && bytesRead > 0) this.#turnAway({ event: 'connect', reason: 'this is not SSH' });
    else if (this.#refused > 0)
      this.#turnAway({ event: 'login', reason: `no login was accepted, of ${this.#refused} tried` });
  }

  #turnAway(about: TurnedAwayAbout, id = this.#id): void {
    const origin = { id, transport: 'ssh', address: this.#address } as const;
    this.#parts.onTurnedAway?.(turnedAway(origin, about));
  }

  async #authenticate(context: AuthContext): Promise<void> {
    this.#attempts += 1;
    try {
      if (this.#attempts > BOUNDS.sshAuthAttemptsMax) {
        this.#client?.end();
        return;
      }
      const accepted = context.method === 'publickey' && (await this.#judge(context));
      // A key that is only asked about is no login yet, and `none` is how every client asks what it may try.
      if (context.method === 'publickey' && (context.signature !== undefined || !accepted)) {
        this.#parts.metrics?.login('ssh', accepted ? 'served' : 'refused');
      }
      if (accepted) context.accept();
      else {
        // `none` only asks which methods there are.
        if (context.method !== 'none') this.#refused += 1;
        context.reject(['publickey']);
      }
    } catch (error) {
      // ssh2 throws where the client left while its key was looked up; a broken store lets nobody in.
      this.#parts.log.debug({ connection: this.#id, address: this.#address, error }, 'fail ssh login');
      this.wire.destroy();
    }
  }

  async #judge(context: PublicKeyAuthContext): Promise<boolean> {
    const { key, signature, blob, hashAlgo } = context;
    const proof = signature === undefined || blob === undefined ? undefined : { signature, signed: blob };
    const offer: KeyOffer = { type: key.algo, blob: key.data, hash: hashAlgo, proof };
    if (!isModern(offer)) return false;
    if (!(await this.#parts.directory.isKnownKey(key.data))) return false;
    if (proof === undefined) {
      // The answer repeats the algorithm asked about (RFC 4252, 7); ssh2 would say `ssh-rsa`, the SHA-1 name.
      if (hashAlgo !== undefined) Reflect.set(key, 'algo', `rsa-sha2-${hashAlgo.replace('sha', '')}`);
      return true;
    }
    if (!isProven(offer, proof)) return false;
    const principal = await this.#parts.directory.byKey(key.data, this.#address);
    if (principal === undefined) return false;
    this.#keyBlob = key.data;
    const fields = { connection: this.#id, address: this.#address, principal: principalLabel(principal) };
    const told = {
      ...fields,
      get key() {
        return fingerprintOf(key.data);
      },
    };
    this.#parts.log.debug(told, 'log in over ssh');
    return true;
  }

  async #execute(line: Omit<Execution, 'origin'>): Promise<number> {
    const { clock, directory } = this.#parts;
    const id = newId(clock);
    // Asked again for each session: a key that was taken away, or a suspended user, gets no further on an open connection.
    const principal = this.#keyBlob === undefined ? undefined : await directory.byKey(this.#keyBlob, this.#address);
    if (principal === undefined) {
      const reason = 'your key is not accepted any more';
      this.#turnAway({ event: 'login', reason }, id);
      line.stderr.write(spoken(reason));
      return 1;
    }
    const origin = { id, transport: 'ssh', address: this.#address, principal } as const;
    return execute({ ...line, origin }, this.#parts);
  }
}
