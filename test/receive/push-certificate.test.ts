/** Signed pushes: as git makes them, and as somebody makes them up. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { BOUNDS } from '../../src/base/bounds.ts';
import { systemClock } from '../../src/base/clock.ts';
import { PktReader } from '../../src/git/pkt-line.ts';
import { CertificateDesk, parsePushCertificate } from '../../src/receive/push-certificate.ts';
import { must } from '../identity/fixture.ts';
import { makeSshKey, openCheckSite, table, type CheckSite, type SshKey } from './check-site.ts';
import { EMPTY_PACK, pkt, readLines, ZERO } from './raw-client.ts';
import { commitFile, dial, git, gitOk, PRINCIPAL } from './site.ts';

const ASKS = table('name = "signed pushes"', 'push-certificate = true');
const CAPABILITIES = 'report-status agent=test';

interface Ground extends CheckSite {
  readonly tree: string;
  readonly oid: string;
  readonly alice: SshKey;
  readonly bob: SshKey;
}

/** A commit on main, and alice and bob with a key each; from here on pushes have to be signed. */
async function openGround(t: TestContext): Promise<Ground> {
  const at = await openCheckSite(t);
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => makeSshKey(at.site.root, name)));
  assert.ok(alice && bob);
  must(await at.users.signingKeys.add({ user: 'alice', tag: 'k', text: alice.line }));
  must(await at.users.signingKeys.add({ user: 'bob', tag: 'k', text: bob.line }));
  const tree = await at.site.workTree();
  const oid = await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', at.site.gitUrl, 'main');
  at.check(ASKS);
  return { ...at, tree, oid, alice, bob };
}

function sign(key: SshKey, payload: string): string {
  const file = `${key.file}.payload`;
  writeFileSync(file, payload);
  rmSync(`${file}.sig`, { force: true });
  execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'git', '-f', key.file, file], { stdio: 'ignore' });
  return readFileSync(`${file}.sig`, 'utf8');
}

interface Made {
  readonly nonce: string;
  readonly commands: readonly string[];
  readonly options?: readonly string[];
}

function certificate({ nonce, commands, options = [] }: Made): string {
  const head = ['certificate version 0.1', 'pusher alice <alice@example.org> 1700000000 +0000', 'pushee git://x/r'];
  const rest = options.map((option) => `push-option ${option}`);
  return [...head, `nonce ${nonce}`, ...rest, '', ...commands, ''].join('\n');
}

/** The pkts of a signed push; `signed` is what the signature is of, where that is something else. */
function pkts(text: string, signature: string, capabilities = CAPABILITIES): Buffer {
  const lines = `${text}${signature}`.split('\n').slice(0, -1);
  return Buffer.concat([
    pkt(`push-cert\0${capabilities}`),
    ...lines.map((line) => pkt(`${line}\n`)),
    pkt('push-cert-end\n'),
    Buffer.from('0000'),
  ]);
}

/** Talks to the gate by git://: reads the nonce, says what `answer` makes of it, returns the report. */
async function speak(at: CheckSite, answer: (nonce: string) => Buffer): Promise<string> {
  const ended = at.site.nextEnd();
  const socket = dial(at.site);
  await once(socket, 'connect');
  const reader = new PktReader(socket);
  const refs = await readLines(reader);
  const nonce = /push-cert=(\S+)/.exec(refs.join('\n'))?.[1] ?? 'none';
  socket.end(answer(nonce));
  const report = await readLines(reader).catch(() => []);
  socket.destroy();
  const end = await ended;
  return [...report, 'fault' in end ? JSON.stringify(end.fault, ['message', 'publicMessage', 'context']) : ''].join(
    '\n',
  );
}

describe('push certificates', { concurrency: 4 }, () => {
  test('git push --signed is taken over git:// and HTTP, and the journal keeps what anybody can verify', async (t) => {
    const at = await openGround(t);
    const { site, tree, alice } = at;
    assert.match((await at.push(tree, 'main:a')).stderr, /the push is not signed: git push --signed/);
    for (const [index, url] of [site.gitUrl, site.httpUrl].entries()) {
      await gitOk(tree, ...alice.config, 'push', '-q', '--signed', url, `main:b${index}`);
      const line = (await site.journalLines()).at(-1);
      assert.equal(line?.outcome, 'served');
      const text = line?.certificate ?? '';
      assert.match(
        text,
        new RegExp(`^certificate version 0\\.1\npusher [^]*\n${ZERO} ${at.oid} refs/heads/b${index}\n-----BEGIN SSH`),
      );
      const begin = text.indexOf('-----BEGIN');
      writeFileSync(join(site.root, 'sig'), text.slice(begin));
      execFileSync('ssh-keygen', ['-Y', 'check-novalidate', '-n', 'git', '-s', join(site.root, 'sig')], {
        input: text.slice(0, begin),
        stdio: ['pipe', 'ignore', 'ignore'],
      });
    }
    await gitOk(tree, ...alice.config, 'push', '-q', '--signed', '--delete', site.gitUrl, 'b0');
    await gitOk(
      tree,
      ...alice.config,
      'push',
      '-q',
      '--signed=if-asked',
      '-o',
      'one',
      '-o',
      'two',
      site.gitUrl,
      'main:c',
    );
  });

  test('nobody is asked for one where no check does', async (t) => {
    const at = await openGround(t);
    at.check('');
    const ended = await git(at.tree, ...at.alice.config, 'push', '--signed', at.site.gitUrl, 'main:a');
    assert.notEqual(ended.code, 0);
    assert.match(ended.stderr, /does not support --signed/);
    await gitOk(at.tree, ...at.alice.config, 'push', '-q', '--signed=if-asked', at.site.gitUrl, 'main:a');
    assert.match(await speak(at, (nonce) => pkts(certificate({ nonce, commands: [] }), 'x\n')), /not offered here/);
  });

  test('a certificate of somebody else, or by an unknown key, is no certificate', async (t) => {
    const at = await openGround(t);
    const { tree, site } = at;
    const stranger = await makeSshKey(site.root, 'stranger');
    const bob = await git(tree, ...at.bob.config, 'push', '--signed', site.gitUrl, 'main:a');
    assert.match(bob.stderr, /the push certificate is signed by bob, not by who pushes/);
    const unknown = await git(tree, ...stranger.config, 'push', '--signed', site.gitUrl, 'main:a');
    assert.match(unknown.stderr, /has a signature that is by a key that nobody registered here: SHA256:/);
    must(await at.users.signingKeys.del({ user: 'alice', tag: 'k' }));
    const gone = await git(tree, ...at.alice.config, 'push', '--signed', site.gitUrl, 'main:a');
    assert.match(gone.stderr, /nobody registered here/);
  });

  test('commands that were not signed are not carried out', async (t) => {
    const at = await openGround(t);
    const make = (ref: string) => `${ZERO} ${at.oid} refs/heads/${ref}`;
    const before = await at.site.refs();
    const changed = await speak(at, (nonce) => {
      const signed = sign(at.alice, certificate({ nonce, commands: [make('a')] }));
      return Buffer.concat([pkts(certificate({ nonce, commands: [make('b')] }), signed), EMPTY_PACK]);
    });
    assert.match(
      changed,
      /ng refs\/heads\/b .*the push certificate has a signature that is not good: .*did not sign this/,
    );
    const beside = (first: boolean) =>
      speak(at, (nonce) => {
        const text = certificate({ nonce, commands: [make('a')] });
        const signed = pkts(text, sign(at.alice, text));
        const plain = pkt(`${make('c')}\0${CAPABILITIES}`);
        const body = first ? [plain, signed] : [signed.subarray(0, -4), pkt(make('c')), Buffer.from('0000')];
        return Buffer.concat([...body, EMPTY_PACK]);
      });
    assert.match(await beside(true), /NUL in a ref update/);
    assert.match(await beside(false), /lines behind the push certificate/);
    const options = await speak(at, (nonce) => {
      const text = certificate({ nonce, commands: [make('a')], options: ['one'] });
      const signed = pkts(text, sign(at.alice, text), `${CAPABILITIES} push-options`);
      return Buffer.concat([signed, pkt('two'), Buffer.from('0000'), EMPTY_PACK]);
    });
    assert.match(options, /push options are not those of the push certificate/);
    const unsigned = await speak(at, (nonce) =>
      Buffer.concat([pkts(certificate({ nonce, commands: [make('a')] }), ''), EMPTY_PACK]),
    );
    assert.match(unsigned, /has no signature/);
    const endless = await speak(at, (nonce) => {
      const text = certificate({ nonce, commands: [make('a')] });
      const all = pkts(text, sign(at.alice, text));
      return Buffer.concat([all.subarray(0, all.indexOf('push-cert-end') - 4), Buffer.from('0000'), EMPTY_PACK]);
    });
    assert.match(endless, /has no end/);
    const huge = await speak(at, (nonce) => {
      const text = certificate({ nonce, commands: [make('a'.repeat(BOUNDS.pushCertificateBytesMax))] });
      return pkts(text, '');
    });
    assert.match(huge, /at most 32768 bytes/);
    assert.equal(await at.site.refs(), before);
    const good = await speak(at, (nonce) => {
      const text = certificate({ nonce, commands: [make('a')] });
      return Buffer.concat([pkts(text, sign(at.alice, text)), EMPTY_PACK]);
    });
    assert.match(good, /ok refs\/heads\/a/);
  });

  test('a certificate is good once, in its conversation, for its repository', async (t) => {
    const at = await openGround(t);
    const command = `${ZERO} ${at.oid} refs/heads/a`;
    const foreign = at.certificates.nonceFor({ ...at.site.repository, id: 'another' }, PRINCIPAL) ?? '';
    const elsewhere = at.certificates.nonceFor(at.site.repository, PRINCIPAL) ?? '';
    const withNonce = (nonce: string): Buffer => {
      const text = certificate({ nonce, commands: [command] });
      return Buffer.concat([pkts(text, sign(at.alice, text)), EMPTY_PACK]);
    };
    assert.match(await speak(at, () => withNonce(foreign)), /not given out for this repository/);
    assert.match(await speak(at, () => withNonce(elsewhere)), /the nonce of another push/);
    assert.match(await speak(at, () => withNonce('1700000000-abc')), /not given out for this repository/);
    // Over HTTP the same body can be sent again, and the ref may be again as it was.
    const body = withNonce(elsewhere);
    const post = async (): Promise<string> => {
      const answer = await fetch(`${at.site.httpUrl}/git-receive-pack`, { method: 'POST', body: new Uint8Array(body) });
      return answer.text();
    };
    assert.match(await post(), /ok refs\/heads\/a/);
    await gitOk(at.tree, ...at.alice.config, 'push', '-q', '--signed', '--delete', at.site.gitUrl, 'a');
    assert.match(await post(), /ng refs\/heads\/a .*was used before/);
    assert.doesNotMatch(await at.site.refs(), /refs\/heads\/a/);
  });
});

test('a nonce is good for its time only, and none outlives the gate that gave it', async () => {
  let now = 1_800_000_000_000;
  const parts = {
    clock: { ...systemClock, now: () => now },
    verify: async () => ({ kind: 'bad', reason: 'is not asked' }) as const,
    isWanted: () => true,
  };
  const [desk, later] = [new CertificateDesk(parts), new CertificateDesk(parts)];
  const repository = { id: 'r', name: 'r' } as never;
  const ask = async (gate: CertificateDesk, nonce: string): Promise<string> => {
    const made = { payload: Buffer.alloc(0), signature: '', nonce, options: [], commands: [] };
    const signed = await gate.check(made, { repository, issued: undefined });
    return signed.kind === 'bad' ? signed.reason : 'good';
  };
  const nonce = desk.nonceFor(repository, PRINCIPAL) ?? '';
  assert.match(await ask(later, nonce), /since the gate started/);
  now += BOUNDS.pushNonceMs + 1;
  assert.match(await ask(desk, nonce), /too old/);
  const fresh = desk.nonceFor(repository, PRINCIPAL) ?? '';
  assert.match(await ask(desk, fresh), /is not asked/);
  assert.match(await ask(desk, fresh), /was used before/);
});

test('what is no certificate is refused in words', () => {
  const lines = (text: string): readonly Buffer[] => text.split(/(?<=\n)/).map((line) => Buffer.from(line));
  const good = `${certificate({ nonce: 'n', commands: ['x'] })}-----BEGIN SSH SIGNATURE-----\n`;
  const words = (text: string): unknown => {
    try {
      return parsePushCertificate(lines(text)).nonce;
    } catch (error) {
      return error instanceof Error && 'publicMessage' in error ? error.publicMessage : error;
    }
  };
  assert.equal(words(good), 'n');
  assert.match(String(words(good.replace('0.1', '0.2'))), /version 0\.1/);
  assert.match(String(words(good.replace('nonce n\n', ''))), /not one nonce/);
  assert.match(String(words(good.replace('nonce n\n', 'nonce n\nnonce m\n'))), /not one nonce/);
  assert.match(String(words(good.replace('pushee', 'pushed'))), /header that is not known/);
  assert.match(String(words(good.replace('\n\n', '\n'))), /version 0\.1/);
  assert.match(String(words('')), /has no end|no signature/);
});
