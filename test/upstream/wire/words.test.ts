import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Murmur, Words } from '../../../src/upstream/wire/words.ts';
import { upstreamAt } from './conversation.ts';

const SECRET = 'token+in/a=test';

function words(address = 'https://host.example/org/repo'): Words {
  const made = new Words(upstreamAt(address).url, 100);
  made.hide({ kind: 'token', username: 'git', secret: SECRET, bearer: false });
  return made;
}

describe('words about an upstream', () => {
  it('name it as people do', () => {
    assert.equal(words().label, 'https://host.example/org/repo');
    assert.equal(words('git@host.example:org/repo').label, 'git@host.example (org/repo)');
    assert.equal(words('ssh://me@[::1]:2222/org/repo').label, 'me@[::1]:2222 (/org/repo)');
    assert.equal(words('git://host.example/~me/repo').label, 'git://host.example/~me/repo');
    assert.equal(words('ssh://me@[::1]:2222/org/repo').place, '[::1]:2222');
  });

  it('hold no credential in any form, nor control characters, nor more than a bound', () => {
    const forms = [
      SECRET,
      encodeURIComponent(SECRET),
      Buffer.from(SECRET).toString('base64'),
      Buffer.from(`git:${SECRET}`).toString('base64'),
    ];
    for (const form of forms) assert.equal(words().reason(`a ${form}.`), 'a [credential removed].');
    assert.equal(words().reason('\u001b[1;31mred\u001b[0m \u202eflip\u200b\r\n\n two\ttabs \0'), 'red flip; two tabs');
    assert.equal(words().reason('x'.repeat(1_000)).length, 103);
    assert.match(words().said('').publicMessage ?? '', /says: nothing$/);
  });

  it('still hide the credential of before', () => {
    const made = words();
    made.hide({ kind: 'token', username: 'git', secret: 'another-secret', bearer: true });
    assert.equal(made.reason(`${SECRET} another-secret`), '[credential removed] [credential removed]');
  });
});

describe('what an upstream murmurs', () => {
  function heard(chunks: readonly (string | Uint8Array)[], bytesMax = 10_000): string {
    let told = '';
    const murmur = new Murmur(words(), (text) => (told += text), bytesMax);
    for (const chunk of chunks) murmur.hear(Buffer.from(chunk));
    murmur.end();
    return told;
  }

  it('is told in whole lines, wherever it was cut, without what a terminal would overwrite', () => {
    assert.equal(
      heard(['Coun', 'ting: 1%\rCounting: 100%', ', done.\nnext', '\nlast']),
      'Counting: 100%, done.\nnext\nlast\n',
    );
    const letter = Buffer.from('é\n');
    assert.equal(heard([letter.subarray(0, 1), letter.subarray(1)]), 'é\n');
  });

  it('has no credential in it, even one that comes in pieces', () => {
    assert.equal(heard([`say ${SECRET.slice(0, 5)}`, `${SECRET.slice(5)} loud\n`]), 'say [credential removed] loud\n');
  });

  it('is bounded, in a line without an end as well', () => {
    assert.match(
      heard(
        Array.from({ length: 100 }, () => `${'x'.repeat(99)}\n`),
        1_000,
      ),
      /more than is told here\n$/,
    );
    assert.ok(heard(Array.from({ length: 100 }, () => 'x'.repeat(10_000))).length <= 4_097);
  });
});
