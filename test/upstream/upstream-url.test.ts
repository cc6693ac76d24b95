import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { parseUpstreamUrl } from '../../src/upstream/upstream-url.ts';

function reasonOf(text: string): string {
  const parsed = parseUpstreamUrl(text);
  assert.ok(parsed.kind === 'refused', `${text} is refused`);
  return parsed.reason;
}

describe('the address of an upstream', () => {
  const taken: readonly (readonly [string, string, string | undefined, string, number, string])[] = [
    ['ssh://git@Host.Example/org/repo.git', 'ssh', 'git', 'host.example', 22, '/org/repo.git'],
    ['ssh://host.example:2222/org/repo', 'ssh', 'git', 'host.example', 2222, '/org/repo'],
    ['ssh://me@[2001:db8::1]:2222/~me/repo', 'ssh', 'me', '2001:db8::1', 2222, '~me/repo'],
    ['ssh://git@host/with%20space/repo', 'ssh', 'git', 'host', 22, '/with space/repo'],
    ['git+ssh://host/x', 'ssh', 'git', 'host', 22, '/x'],
    ['git@host.example:org/repo.git', 'ssh', 'git', 'host.example', 22, 'org/repo.git'],
    ['host.example:/srv/repo', 'ssh', 'git', 'host.example', 22, '/srv/repo'],
    ['git@[2001:db8::1]:org/repo', 'ssh', 'git', '2001:db8::1', 22, 'org/repo'],
    ['git@host:~me/repo', 'ssh', 'git', 'host', 22, '~me/repo'],
    ['https://host.example/org/re%20po.git/', 'https', undefined, 'host.example', 443, '/org/re%20po.git'],
    ['https://host.example:8443/org/repo', 'https', undefined, 'host.example', 8443, '/org/repo'],
    ['HTTPS://host/x', 'https', undefined, 'host', 443, '/x'],
    ['http://127.0.0.1:3000/org/repo', 'http', undefined, '127.0.0.1', 3000, '/org/repo'],
    ['http://localhost/org/repo', 'http', undefined, 'localhost', 80, '/org/repo'],
    ['git://host.example/repo', 'git', undefined, 'host.example', 9418, '/repo'],
    ['git://host.example/~me/repo', 'git', undefined, 'host.example', 9418, '~me/repo'],
  ];
  for (const [text, scheme, user, host, port, path] of taken) {
    it(`reads ${text}`, () => {
      const parsed = parseUpstreamUrl(text);
      assert.deepEqual(parsed, { kind: 'ok', value: { scheme, user, host, port, path, text } });
    });
  }

  const refused: readonly (readonly [string, RegExp])[] = [
    ['', /there is no address/],
    ['ext::sh -c id', /spaces/],
    ['ext::id', /remote helpers .* would run programs/],
    ['fd::17', /remote helpers/],
    ['/srv/git/repo', /a file of this machine/],
    ['./repo', /a file of this machine/],
    ['../x:y', /a file of this machine/],
    ['C:/repo', /a file of this machine/],
    ['file:///srv/git/repo', /no address of an upstream/],
    ['ftp://host/x', /no address of an upstream/],
    ['--upload-pack=id', /does not start with "-"/],
    ['-oProxyCommand=id:x', /does not start with "-"/],
    ['ssh://-oProxyCommand=id/x', /starts with a letter or digit/],
    ['ssh://-oProxyCommand=id@host/x', /the user in an address/],
    ['git@-oProxyCommand:x', /starts with a letter or digit/],
    ['git@host:-x', /the path of an address does not start with "-"/],
    ['git@host:', /needs the path/],
    ['ssh://host', /needs the path/],
    ['ssh://host//', /needs the path/],
    ['https://host/', /needs the path/],
    ['ssh:///x', /needs a host/],
    ['ssh://host/a\0b', /control characters/],
    ['ssh://host/a%00b', /control characters/],
    ['ssh://host/a%0ab', /control characters/],
    ['git@host:a\nb', /control characters/],
    ['ssh://host/a\u2028b', /control characters/],
    ['ssh://host/%zz', /percent-encoding/],
    ['ssh://host:0/x', /a port is/],
    ['ssh://host:65536/x', /a port is/],
    ['ssh://host:1:2/x', /the host of an address/],
    ['ssh://[::1/x', /the host of an address/],
    ['ssh://[host]/x', /an IPv6 address/],
    ['ssh://[fe80::1%eth0]/x', /an IPv6 address/],
    ['ssh://ho_st..x/x', /the host of an address/],
    ['https://host/a/../b', /no "\." or "\.\."/],
    ['https://host/a/%2e%2e/b', /no "\." or "\.\."/],
    ['https://host/a?b', /no "\?"/],
    ['https://host/a#b', /no "\?"/],
    ['https://me@host/x', /belongs to the credential/],
    ['git://me@host/x', /belongs to the credential/],
    ['http://host.example/x', /in the clear/],
    ['http://127.0.0.1.example/x', /in the clear/],
    [`ssh://host/${'x'.repeat(3_000)}`, /at most 2048 bytes/],
  ];
  for (const [text, why] of refused) {
    it(`refuses ${JSON.stringify(text.slice(0, 60))}`, () => {
      assert.match(reasonOf(text), why);
    });
  }

  it('refuses a password and does not repeat it', () => {
    for (const text of ['https://me:hunter2@host/x', 'ssh://me:hunter2@host/x', 'https://hunter2:@host/x']) {
      const reason = reasonOf(text);
      assert.match(reason, /no password in an address: give the credential by itself/);
      assert.ok(!reason.includes('hunter2'));
    }
  });

  it('takes http to another host where that is allowed', () => {
    assert.equal(parseUpstreamUrl('http://host.example/x', { allowsClearText: true }).kind, 'ok');
  });

  it('never throws, and gives nothing that could be an option or hold a control character', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string().map((text) => `ssh://git@host/${text}`),
        ),
        (text) => {
          const parsed = parseUpstreamUrl(text);
          if (parsed.kind === 'refused') return;
          const { host, path, user } = parsed.value;
          for (const part of [host, path, user ?? '']) {
            assert.ok(!part.startsWith('-') && !/\p{Cc}/u.test(part), JSON.stringify(part));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
