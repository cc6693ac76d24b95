/** Real upstreams: OpenSSH that lets v2 be asked for and that does not, nginx over TLS, git daemon; in both object formats. */
import { createRemote } from '../../../src/upstream/wire/create-remote.ts';
import {
  noHttpsUpstream,
  noSshUpstream,
  startDaemonUpstream,
  startHttpsUpstream,
  startSshUpstream,
} from '../../support/upstream.ts';
import type { Scope } from '../../support/workspace.ts';
import { conversations, upstreamAt, type Place } from './conversation.ts';

async function overSsh(scope: Scope, takesProtocol: boolean): Promise<Place> {
  const ssh = await startSshUpstream(scope, { takesProtocol });
  return {
    repositories: ssh.repositories,
    remote: (name) =>
      createRemote({
        upstream: upstreamAt(ssh.url(name), { hostKeys: [ssh.hostKey] }),
        credential: () => Promise.resolve({ kind: 'key', privateKey: ssh.privateKey }),
      }),
  };
}

conversations('ssh, version 2, sha1', {
  skip: noSshUpstream(),
  format: 'sha1',
  open: (scope) => overSsh(scope, true),
});

conversations('ssh, version 0, sha256', {
  skip: noSshUpstream(),
  format: 'sha256',
  open: (scope) => overSsh(scope, false),
});

conversations('https, sha256', {
  skip: noHttpsUpstream(),
  format: 'sha256',
  async open(scope) {
    const https = await startHttpsUpstream(scope);
    return {
      repositories: https.repositories,
      remote: (name) =>
        createRemote({
          upstream: upstreamAt(https.url(name), { authorities: https.authority }),
          credential: () =>
            Promise.resolve({ kind: 'token', username: https.username, secret: https.token, bearer: false }),
        }),
    };
  },
});

conversations('https, version 0, sha1', {
  skip: noHttpsUpstream(),
  format: 'sha1',
  async open(scope) {
    const https = await startHttpsUpstream(scope, { asksPassword: false, takesProtocol: false });
    return {
      repositories: https.repositories,
      remote: (name) =>
        createRemote({
          upstream: upstreamAt(https.url(name), { authorities: https.authority }),
          credential: () => Promise.resolve(undefined),
        }),
    };
  },
});

conversations('git daemon, sha1', {
  skip: false,
  format: 'sha1',
  async open(scope) {
    const daemon = await startDaemonUpstream(scope);
    return {
      repositories: daemon.repositories,
      remote: (name) =>
        createRemote({ upstream: upstreamAt(daemon.url(name)), credential: () => Promise.resolve(undefined) }),
    };
  },
});
