/**
 * The SSH door: ssh2 behind our own listening socket. Public keys only, any SSH user name, modern algorithms,
 * one command line or a greeting for each session; no shell, terminal, forwarding or subsystem.
 */
import { createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2, { type ServerConfig } from 'ssh2';
import type { Listen } from '../base/address.ts';
import { BOUNDS } from '../base/bounds.ts';
import { newId } from '../base/clock.ts';
import { clientAddress } from '../request/address.ts';
import { listenAt, type Door } from './door.ts';
import { loadHostKeys, type HostKey } from './host-keys.ts';
import { SshConnection, type SshConnectionParts } from './ssh-connection.ts';
import { readHostKey } from './ssh-key.ts';
import { SshWire } from './ssh-wire.ts';

export interface SshOptions extends SshConnectionParts {
  readonly listen: Listen;
  /** `<data>/host-keys`. */
  readonly hostKeysDirectory: string;
  /** Connections at once. Default 1,000. */
  readonly clientsMax?: number;
}

export interface SshDoor extends Door {
  readonly hostKeys: readonly HostKey[];
  /** Connections now, logged in or not. */
  readonly clients: number;
}

const CLIENTS_MAX = 1_000;

type Algorithms = NonNullable<ServerConfig['algorithms']>;

/** What is offered. The order is the client's choice; docs/transports.md says what each costs. */
export const SSH_ALGORITHMS = {
  // One exchange under two names. The old name stands first because dropbear sends its first exchange unasked,
  // which counts when both sides' first names are equal (RFC 4253, 7.1), and ssh2 loses that packet.
  kex: [
    'curve25519-sha256@libssh.org',
    'curve25519-sha256',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group14-sha256',
  ],
  serverHostKey: ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256'],
  cipher: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
    'chacha20-poly1305@openssh.com',
  ],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  // Nobody may make us inflate: packs are compressed already.
  compress: ['none'],
} as const satisfies { readonly [Kind in keyof Algorithms]: readonly string[] };

export async function startSsh(options: SshOptions): Promise<SshDoor> {
  const hostKeys = await loadHostKeys(options.hostKeysDirectory);
  const guests = new GuestList(options);
  const server = new ssh2.Server({
    hostKeys: hostKeys.map((key) => signingKey(key)),
    ident: 'Gatehouse',
    algorithms: mutable(SSH_ALGORITHMS),
    keepaliveInterval: BOUNDS.sshKeepAliveMs,
    keepaliveCountMax: BOUNDS.sshKeepAliveMissesMax,
  });
  server.on('connection', (client, info) => {
    const connection = guests.byId(info.ip);
    if (connection === undefined) client.end();
    else connection.attach(client);
  });
  const listener = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    const wire = guests.receive(socket);
    // The wire is a socket in all that ssh2 uses of one.
    if (wire !== undefined) server.injectSocket(wire as Duplex as Socket);
  });
  const address = await listenAt(listener, options.listen);
  listener.on('error', (error) => {
    options.log.warn({ door: 'ssh', error }, 'fail to accept');
  });
  return {
    address,
    hostKeys,
    get clients() {
      return guests.count;
    },
    async close() {
      const closed = new Promise<void>((resolve) => {
        listener.close(() => {
          resolve();
        });
      });
      await guests.farewell();
      await closed;
    },
  };
}

/** Everybody connected, and the bounds on how many. */
class GuestList {
  readonly #options: SshOptions;
  readonly #connections = new Map<string, SshConnection>();
  readonly #strangers = new Map<string, number>();
  #strangersCount = 0;
  #onEmpty: (() => void) | undefined;

  constructor(options: SshOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#connections.size;
  }

  byId(id: string): SshConnection | undefined {
    return this.#connections.get(id);
  }

  /** The wire of a new connection, or undefined where there is no room: it is closed at once. */
  receive(socket: Socket): SshWire | undefined {
    const { clock, log, metrics, clientsMax = CLIENTS_MAX } = this.#options;
    const address = clientAddress(socket.remoteAddress);
    const fromThere = this.#strangers.get(address) ?? 0;
    const crowded = this.#strangersCount >= BOUNDS.sshStrangersMax || fromThere >= BOUNDS.sshStrangersPerAddressMax;
    if (crowded || this.#connections.size >= clientsMax || this.#onEmpty !== undefined) {
      log.warn({ door: 'ssh', address, clients: this.count, strangers: this.#strangersCount }, 'refuse connection');
      socket.destroy();
      return undefined;
    }
    const id = newId(clock);
    const wire = new SshWire({ socket, id, clock });
    let isStranger = true;
    this.#addStranger(address, 1);
    const onLogin = (): void => {
      if (isStranger) this.#addStranger(address, -1);
      isStranger = false;
    };
    this.#connections.set(id, new SshConnection({ wire, id, address, parts: this.#options, onLogin }));
    metrics?.connectionOpened('ssh');
    wire.once('close', () => {
      metrics?.connectionClosed('ssh');
      onLogin();
      this.#connections.delete(id);
      if (this.#connections.size === 0) this.#onEmpty?.();
    });
    return wire;
  }

  /** Lets everybody finish what runs, at the latest until the drain is over. */
  async farewell(): Promise<void> {
    const { clock } = this.#options;
    await new Promise<void>((resolve) => {
      const cancel = clock.after(BOUNDS.drainMs + BOUNDS.closeGraceMs, () => {
        for (const connection of this.#connections.values()) connection.wire.destroy();
        resolve();
      });
      this.#onEmpty = () => {
        cancel();
        resolve();
      };
      for (const connection of this.#connections.values()) connection.close();
      if (this.#connections.size === 0) this.#onEmpty();
    });
  }

  #addStranger(address: string, by: number): void {
    const count = (this.#strangers.get(address) ?? 0) + by;
    this.#strangersCount += by;
    if (count === 0) this.#strangers.delete(address);
    else this.#strangers.set(address, count);
  }
}

/** Parsed once, not for each connection; ssh2 takes a parsed key in the place of a text, whatever its types say. */
function signingKey({ privateKey }: HostKey): { readonly key: Buffer } | string {
  const key = readHostKey(privateKey);
  return key instanceof Error ? privateKey : { key: key as unknown as Buffer };
}

function mutable(algorithms: typeof SSH_ALGORITHMS): Algorithms {
  const { kex, serverHostKey, cipher, hmac, compress } = algorithms;
  return {
    kex: [...kex],
    serverHostKey: [...serverHostKey],
    cipher: [...cipher],
    hmac: [...hmac],
    compress: [...compress],
  };
}
