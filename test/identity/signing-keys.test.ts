/** Signing keys, and signatures against them: as ssh-keygen makes them, and as they are forged. */
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createMessage, enums, generateKey, reformatKey, revokeKey, sign, type PrivateKey } from 'openpgp';
import { isSshSignatureOf, parseSshSignature } from '../../src/identity/ssh-signature.ts';
import { expectRun, workspace, type Scope } from '../support/workspace.ts';
import { addUsers, must, openDirectory, reasonOf } from './fixture.ts';
import { makeKeyLine } from './key-line.ts';

const PAYLOAD = Buffer.from('tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nhello\n');
const DAY_MS = 86_400_000;

interface SshSigner {
  readonly line: string;
  sign(payload: Buffer, namespace?: string): Promise<string>;
}

async function sshSigner(scope: Scope, ...options: readonly string[]): Promise<SshSigner> {
  const directory = workspace(scope);
  const file = join(directory, 'key');
  await expectRun('ssh-keygen', ['-q', '-N', '', '-C', 'signer', '-f', file, ...options]);
  return {
    line: readFileSync(`${file}.pub`, 'utf8'),
    async sign(payload, namespace = 'git') {
      mkdirSync(directory, { recursive: true });
      const text = join(directory, 'payload');
      writeFileSync(text, payload);
      await expectRun('ssh-keygen', ['-q', '-Y', 'sign', '-n', namespace, '-f', file, text]);
      const signature = readFileSync(`${text}.sig`, 'utf8');
      await expectRun('rm', ['-f', `${text}.sig`]);
      return signature;
    },
  };
}

async function pgpSigner(email: string, at: number, seconds = 0) {
  const { privateKey, publicKey } = await generateKey({
    userIDs: [{ name: 'Signer', email }],
    date: new Date(at),
    keyExpirationTime: seconds,
    format: 'object',
  });
  return { privateKey, line: publicKey.armor() };
}

async function pgpSign(key: PrivateKey, payload: Buffer, at: number): Promise<string> {
  const message = await createMessage({ binary: Uint8Array.from(payload) });
  return sign({ message, signingKeys: key, detached: true, date: new Date(at), format: 'armored' });
}

test('signatures of every kind of key that ssh-keygen makes are verified', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const kinds = [
    ['-t', 'ed25519'],
    ['-t', 'rsa', '-b', '2048'],
    ...['256', '384', '521'].map((b) => ['-t', 'ecdsa', '-b', b]),
  ];
  for (const [index, kind] of kinds.entries()) {
    const signer = await sshSigner(t, ...kind);
    must(await directory.signingKeys.add({ user: 'alice', tag: `k${index}`, text: signer.line }));
    for (let round = 0; round < 3; round += 1) {
      const payload = Buffer.concat([PAYLOAD, Buffer.from([round])]);
      const signature = await signer.sign(payload);
      const signed = await directory.signatures.verify({ payload, signature });
      assert.equal(signed.kind === 'good' ? signed.user : signed.reason, 'alice', kind.join(' '));
      const other = await directory.signatures.verify({ payload: PAYLOAD, signature });
      assert.match(other.kind === 'bad' ? other.reason : '', /did not sign this/);
    }
  }
});

test('an SSH signature for another purpose, or of a damaged form, is refused in words', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const signer = await sshSigner(t, '-t', 'ed25519');
  must(await directory.signingKeys.add({ user: 'alice', tag: 'k', text: signer.line }));
  const file = await signer.sign(PAYLOAD, 'file');
  const reason = async (signature: string): Promise<string> => {
    const signed = await directory.signatures.verify({ payload: PAYLOAD, signature });
    return signed.kind === 'bad' ? signed.reason : 'good';
  };
  assert.match(await reason(file), /made for something else than git/);
  const good = await signer.sign(PAYLOAD);
  assert.equal(await reason(good), 'good');
  assert.match(await reason(good + good), /no end, or something stands behind/);
  assert.match(await reason(good.replace('-----END SSH SIGNATURE-----', '')), /no end/);
  assert.match(await reason('-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n'), /damaged/);
  assert.match(await reason('-----BEGIN SIGNED MESSAGE-----\nAAAA\n'), /neither of SSH nor of OpenPGP/);
  const lines = good.trim().split('\n');
  const blob = Buffer.from(lines.slice(1, -1).join(''), 'base64');
  for (let at = 0; at < blob.length; at += 1) {
    const bent = Buffer.from(blob);
    bent[at] = (bent[at] ?? 0) ^ 0x01;
    const armored = [lines[0], bent.toString('base64'), lines.at(-1)].join('\n');
    assert.notEqual(await reason(armored), 'good', `byte ${at}`);
    const cut = [lines[0], blob.subarray(0, at).toString('base64'), lines.at(-1)].join('\n');
    assert.notEqual(await reason(cut), 'good', `cut at ${at}`);
  }
});

/** A security token that signs as PROTOCOL.u2f says, with a person's touch or without. */
function makeToken() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const field = (value: string | Buffer): Buffer => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const type = 'sk-ssh-ed25519@openssh.com';
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const blob = Buffer.concat([field(type), field(point), field('ssh:')]);
  const hash = (name: string, bytes: Buffer | string): Buffer => createHash(name).update(bytes).digest();
  return {
    line: `${type} ${blob.toString('base64')} token`,
    sign(payload: Buffer, flags: number): string {
      const message = Buffer.concat(['git', '', 'sha512', hash('sha512', payload)].map(field));
      const state = Buffer.from([flags, 0, 0, 0, 7]);
      const signed = Buffer.concat([
        hash('sha256', 'ssh:'),
        state,
        hash('sha256', Buffer.concat([Buffer.from('SSHSIG'), message])),
      ]);
      const inner = Buffer.concat([field(type), field(signBytes(null, signed, privateKey)), state]);
      const version = Buffer.from([0, 0, 0, 1]);
      const whole = Buffer.concat([Buffer.from('SSHSIG'), version, ...[blob, 'git', '', 'sha512', inner].map(field)]);
      return `-----BEGIN SSH SIGNATURE-----\n${whole.toString('base64')}\n-----END SSH SIGNATURE-----\n`;
    },
  };
}

test('a security token signs where somebody touched it', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const token = makeToken();
  must(await directory.signingKeys.add({ user: 'alice', tag: 'token', text: token.line }));
  const touched = await directory.signatures.verify({ payload: PAYLOAD, signature: token.sign(PAYLOAD, 1) });
  assert.equal(touched.kind === 'good' ? touched.user : touched.reason, 'alice');
  const untouched = await directory.signatures.verify({ payload: PAYLOAD, signature: token.sign(PAYLOAD, 0) });
  assert.match(untouched.kind === 'bad' ? untouched.reason : '', /did not sign this/);
  const damaged = token.line.replace(/ [A-Za-z0-9+/]{8}/, ' AAAAAAAA');
  assert.match(reasonOf(await directory.signingKeys.add({ user: 'alice', tag: 'x', text: damaged })), /damaged/);
});

test('a signature by a key that nobody registered names the key', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const signer = await sshSigner(t, '-t', 'ed25519');
  const signature = await signer.sign(PAYLOAD);
  const parsed = must(parseSshSignature(signature, 'git'));
  assert.ok(isSshSignatureOf(parsed, { payload: PAYLOAD, namespace: 'git' }));
  const signed = await directory.signatures.verify({ payload: PAYLOAD, signature });
  assert.match(signed.kind === 'bad' ? signed.reason : '', /nobody registered here: SHA256:/);
});

test('login keys sign, too; keys of suspended and deleted users do not', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob', 'root');
  const [login, own] = [await sshSigner(t, '-t', 'ed25519'), await sshSigner(t, '-t', 'ed25519')];
  must(await directory.keys.add({ user: 'alice', tag: 'laptop', text: login.line }));
  must(await directory.signingKeys.add({ user: 'bob', tag: 'k', text: own.line }));
  const whose = async (signer: SshSigner): Promise<string> => {
    const signed = await directory.signatures.verify({ payload: PAYLOAD, signature: await signer.sign(PAYLOAD) });
    return signed.kind === 'good' ? signed.user : signed.reason;
  };
  assert.equal(await whose(login), 'alice');
  assert.equal(await whose(own), 'bob');
  must(await directory.users.rename('bob', 'robert'));
  assert.equal(await whose(own), 'robert');
  assert.deepEqual(
    (await directory.signingKeys.list('robert')).map(({ tag }) => tag),
    ['k'],
  );
  must(await directory.users.suspend('alice'));
  assert.match(await whose(login), /alice, who is suspended/);
  const heir = must(await directory.users.add({ name: 'heir', email: 'heir@example.org', realName: 'Heir' })).name;
  must(await directory.users.del('robert', { heir }));
  assert.match(await whose(own), /nobody registered/);
  must(await directory.signingKeys.add({ user: 'heir', tag: 'k', text: own.line }));
  assert.equal(await whose(own), 'heir');
});

test('a signing key belongs to one user, and is nobody else\u2019s login key', async (t) => {
  const { directory } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob');
  const { line } = makeKeyLine();
  const other = makeKeyLine().line;
  must(await directory.signingKeys.add({ user: 'alice', tag: 'a', text: line }));
  assert.match(reasonOf(await directory.signingKeys.add({ user: 'alice', tag: 'b', text: line })), /already there/);
  assert.match(reasonOf(await directory.signingKeys.add({ user: 'bob', tag: 'a', text: line })), /in use/);
  must(await directory.keys.add({ user: 'alice', tag: 'login', text: other }));
  assert.match(reasonOf(await directory.signingKeys.add({ user: 'bob', tag: 'a', text: other })), /in use/);
  assert.match(
    reasonOf(await directory.signingKeys.add({ user: 'alice', tag: 'a', text: other })),
    /already a signing/,
  );
  must(await directory.signingKeys.del({ user: 'alice', tag: 'a' }));
  assert.match(reasonOf(await directory.signingKeys.del({ user: 'alice', tag: 'a' })), /no signing key/);
  must(await directory.signingKeys.add({ user: 'bob', tag: 'a', text: line }));
});

test('OpenPGP signatures count by the time at which they were made', async (t) => {
  const { directory, clock } = await openDirectory(t);
  await addUsers(directory, 'alice');
  const born = clock.now() - 30 * DAY_MS;
  const signer = await pgpSigner('alice@example.org', born, (20 * DAY_MS) / 1000);
  assert.match(
    reasonOf(await directory.signingKeys.add({ user: 'alice', tag: 'x', text: signer.privateKey.armor() })),
    /PRIVATE/,
  );
  must(await directory.signingKeys.add({ user: 'alice', tag: 'pgp', text: signer.line }));
  const reason = async (payload: Buffer, signature: string): Promise<string> => {
    const signed = await directory.signatures.verify({ payload, signature });
    return signed.kind === 'good' ? signed.user : signed.reason;
  };
  const early = await pgpSign(signer.privateKey, PAYLOAD, born + 10 * DAY_MS);
  assert.equal(await reason(PAYLOAD, early), 'alice');
  assert.match(await reason(Buffer.from('other'), early), /not good/);
  const longer = (
    await reformatKey({
      privateKey: signer.privateKey,
      userIDs: [{ email: 'alice@example.org' }],
      date: new Date(born),
      format: 'object',
    })
  ).privateKey;
  const late = await pgpSign(longer, PAYLOAD, born + 25 * DAY_MS);
  assert.match(await reason(PAYLOAD, late), /not good: .*expired/i);
  const future = await pgpSign(longer, PAYLOAD, clock.now() + 2 * DAY_MS);
  assert.match(await reason(PAYLOAD, future), /not good: .*future/i);
  assert.match(await reason(PAYLOAD, early + early), /more than one/);
});

test('an OpenPGP key that was revoked as compromised signed nothing; one that was replaced signed until then', async (t) => {
  const { directory, clock } = await openDirectory(t);
  await addUsers(directory, 'alice', 'bob');
  const born = clock.now() - 30 * DAY_MS;
  const revoked = async (user: string, flag: enums.reasonForRevocation): Promise<string> => {
    const { privateKey } = await pgpSigner(`${user}@example.org`, born);
    const early = await pgpSign(privateKey, PAYLOAD, born + DAY_MS);
    const { publicKey } = await revokeKey({
      key: privateKey,
      reasonForRevocation: { flag, string: 'test' },
      date: new Date(born + 5 * DAY_MS),
      format: 'object',
    });
    const added = await directory.signingKeys.add({ user, tag: 'pgp', text: publicKey.armor() });
    if (added.kind === 'refused') return added.reason;
    const signed = await directory.signatures.verify({ payload: PAYLOAD, signature: early });
    return signed.kind === 'good' ? 'good' : signed.reason;
  };
  assert.match(await revoked('alice', enums.reasonForRevocation.keyCompromised), /revoked/);
  assert.equal(await revoked('bob', enums.reasonForRevocation.keySuperseded), 'good');
});
