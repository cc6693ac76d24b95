/** Archives, bombs, slow patterns and long streams: bounded, and never called clean where nobody looked. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { deflateRawSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { pack } from 'tar-stream';
import type { ScanItem } from '../../src/scan/scanner.ts';
import { blob, scan, scannerOf, token, TOKEN_RULES } from './support.ts';

interface ZipEntry {
  readonly name: string;
  readonly content: Buffer;
  readonly flags?: number;
  readonly method?: number;
  /** Not in the directory at the end. */
  readonly stray?: boolean;
}

/** A zip file as APPNOTE.TXT 4.3 has it, with no checksums: readers that only look do not ask for them. */
function zip(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content, flags = 0, method = 8, stray = false } of entries) {
    const data = method === 8 ? deflateRawSync(content) : content;
    const fields = (buffer: Buffer, at: number): void => {
      buffer.writeUInt16LE(20, at);
      buffer.writeUInt16LE(flags, at + 2);
      buffer.writeUInt16LE(method, at + 4);
      buffer.writeUInt32LE(data.length, at + 14);
      buffer.writeUInt32LE(content.length, at + 18);
      buffer.writeUInt16LE(Buffer.byteLength(name), at + 22);
    };
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04_03_4b_50, 0);
    fields(local, 4);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02_01_4b_50, 0);
    fields(central, 6);
    central.writeUInt32LE(offset, 42);
    if (!stray) directory.push(central, Buffer.from(name));
    parts.push(local, Buffer.from(name), data);
    offset += 30 + Buffer.byteLength(name) + data.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06_05_4b_50, 0);
  end.writeUInt16LE(directory.length / 2, 8);
  end.writeUInt16LE(directory.length / 2, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

async function tar(entries: readonly (readonly [string, Buffer])[]): Promise<Buffer> {
  const packed = pack();
  for (const [name, content] of entries) packed.entry({ name }, content);
  packed.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packed) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const secret = (): Buffer => Buffer.from(`line\nvalue ${token()}\n`);

describe('archives', () => {
  test('zip, jar, gzip, zstd, tar and packed tar are opened, and the finding names the entry', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const report = await scan(
      scanner,
      blob(
        zip([
          { name: 'a.txt', content: Buffer.from('x') },
          { name: 'conf/.env', content: secret() },
        ]),
        'v.zip',
      ),
      blob(gzipSync(secret()), 'log.gz'),
      blob(zstdCompressSync(secret()), 'log.zst'),
      blob(
        await tar([
          ['dir/one', Buffer.from('x')],
          ['dir/two', secret()],
        ]),
        'b.tar',
      ),
      blob(gzipSync(await tar([['dir/three', secret()]])), 'c.tgz'),
      blob(zip([{ name: 'in.zip', content: zip([{ name: 'deep', content: gzipSync(secret()) }]) }]), 'nested.jar'),
    );
    assert.deepEqual(
      report.findings.map(({ path, inner, line }) => [path, inner, line]),
      [
        ['v.zip', 'conf/.env', 2],
        ['log.gz', '', 2],
        ['log.zst', '', 2],
        ['b.tar', 'dir/two', 2],
        ['c.tgz', 'dir/three', 2],
        ['nested.jar', 'in.zip!/deep', 2],
      ],
    );
    assert.deepEqual([report.unscanned, report.notes], [[], []]);
  });

  test('names of entries are scanned, and entries that the directory of a zip hides', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const named = token();
    const report = await scan(
      scanner,
      blob(zip([{ name: `keys/${named}`, content: Buffer.from('x') }]), 'name.zip'),
      blob(
        zip([
          { name: 'seen', content: Buffer.from('x') },
          { name: 'hidden', content: secret(), stray: true },
        ]),
        'stray.zip',
      ),
      blob(zip([{ name: '../../etc/passwd', content: secret() }]), 'climb.zip'),
    );
    assert.ok(!JSON.stringify(report).includes(named));
    assert.deepEqual(
      report.findings.map(({ path, inner }) => [path, inner]),
      [
        ['name.zip', ''],
        ['stray.zip', 'hidden'],
        ['climb.zip', '../../etc/passwd'],
      ],
    );
  });

  test('what cannot be opened is a note, or refused where the site says so', async (t) => {
    const encrypted = zip([
      { name: 'e', content: Buffer.from('x'), flags: 1 },
      { name: 'open', content: secret() },
    ]);
    const items: readonly ScanItem[] = [
      blob(encrypted, 'encrypted.zip'),
      blob(zip([{ name: 'm', content: Buffer.from('x'), method: 14 }]), 'lzma.zip'),
      blob(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2]), 'a.xz'),
      blob(Buffer.concat([Buffer.from([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]), secret()]), 'a.7z'),
      blob(gzipSync(secret()).subarray(0, 25), 'cut.gz'),
      blob(Buffer.from('BZh is how this sentence starts'), 'text'),
    ];
    const lenient = await scan(scannerOf(t, TOKEN_RULES), ...items);
    assert.deepEqual(
      lenient.notes.map(({ item, reason }) => `${item.path} ${reason}`),
      [
        'encrypted.zip has an encrypted entry "e"',
        'lzma.zip has an entry that cannot be opened, "m"',
        'a.xz is a xz file, which cannot be opened',
        'a.7z is a 7z file, which cannot be opened',
        'cut.gz is no whole gzip file',
      ],
    );
    assert.deepEqual(lenient.unscanned, []);
    assert.deepEqual(
      lenient.findings.map(({ path }) => path),
      ['encrypted.zip', 'a.7z'],
    );
    const strict = await scan(scannerOf(t, TOKEN_RULES, { unopenedArchives: 'refuse' }), ...items);
    assert.equal(strict.unscanned.length, 5);
  });

  test('a packed file that is damaged behind its secret does not hide it', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const text = Buffer.concat([secret(), Buffer.alloc(3_000, 'ordinary text\n')]);
    const wrong = (packed: Buffer): Buffer => {
      const at = packed.length - 5;
      packed.writeUInt8(packed.readUInt8(at) ^ 1, at);
      return packed;
    };
    const random = Buffer.concat([randomBytes(2_000_000), secret()]);
    const report = await scan(
      scanner,
      blob(wrong(gzipSync(text)), 'checksum.gz'),
      blob(gzipSync(text).subarray(0, -8), 'cut.gz'),
      blob(Buffer.concat([gzipSync(text), Buffer.from('trailing words')]), 'more.gz'),
      blob(zstdCompressSync(text).subarray(0, -1), 'cut.zst'),
      blob(await tar([['inner.gz', wrong(gzipSync(text))]]), 'damaged.tar'),
      blob(wrong(gzipSync(random)), 'long.gz'),
    );
    assert.deepEqual(
      report.findings.map(({ path, inner }) => `${path} ${inner}`.trim()),
      ['checksum.gz', 'cut.gz', 'more.gz', 'cut.zst', 'damaged.tar inner.gz', 'long.gz'],
    );
    assert.deepEqual(report.unscanned, []);
  });

  test('thousands of encoded stretches in front of a secret do not hide it', async (t) => {
    const encoded = (text: string): string => `${Buffer.from(text).toString('base64')}\n`;
    const text = `${encoded('ordinary words, twenty-eight').repeat(12_000)}${encoded(`key ${token()} end`)}`;
    const report = await scan(scannerOf(t, TOKEN_RULES), blob(text, 'many'));
    assert.equal(report.findings.length, 1);
  });

  test('bombs are not looked at, and say so', async (t) => {
    const limits = {
      archiveBytesMax: 4 * 1024 * 1024,
      archiveEntriesMax: 50,
      archiveDepthMax: 2,
      itemBytesMax: 1024 * 1024,
    };
    const scanner = scannerOf(t, TOKEN_RULES, limits);
    const zeros = Buffer.alloc(8 * 1024 * 1024);
    const many = Array.from({ length: 60 }, (_, index) => ({ name: `e${index}`, content: Buffer.from('x') }));
    const deep = [1, 2, 3].reduce((inner) => zip([{ name: 'x.zip', content: inner }]), secret());
    const report = await scan(
      scanner,
      blob(gzipSync(zeros), 'bytes.gz'),
      blob(gzipSync(gzipSync(gzipSync(gzipSync(gzipSync(secret()))))), 'layers.gz'),
      blob(zip([{ name: 'z', content: zeros }]), 'bytes.zip'),
      blob(zip(many), 'entries.zip'),
      blob(deep, 'deep.zip'),
      blob(Buffer.alloc(2 * 1024 * 1024, 'a'), 'large'),
      blob(secret(), 'after'),
    );
    assert.deepEqual(
      report.unscanned.map(({ item, reason }) => `${item.path} ${reason}`),
      [
        'bytes.gz unpacks to more than a scan may read',
        'layers.gz has archives inside one another, deeper than 2',
        'bytes.zip unpacks to more than a scan may read',
        'entries.zip has more than 50 archive entries',
        'deep.zip has archives inside one another, deeper than 2',
        'large is larger than a scan may be',
      ],
    );
    assert.deepEqual(
      report.findings.map(({ path }) => path),
      ['after'],
    );
  });
});

describe('hostile input', () => {
  const slowRule = `${TOKEN_RULES}\n[[rules]]\nid = "slow"\nregex = '''slow(?:[a-z]+)+([0-9])!'''\nkeywords = ["slow"]\n`;

  test('a pattern that V8 would not finish is finished by the linear engine, with its finding', async (t) => {
    const scanner = scannerOf(t, slowRule);
    const text = `slow${'a'.repeat(60)}\n${token()}\nslowabc7!\n`;
    const report = await scan(scanner, blob('x', 'before'), blob(text, 'slow'), blob(token(), 'behind'));
    assert.deepEqual(report.unscanned, []);
    assert.deepEqual(report.findings.map(({ rule, path }) => `${rule} ${path}`).sort(), [
      'slow slow',
      'tok behind',
      'tok slow',
    ]);
  });

  test('an item that no engine finishes in time is not looked at; the others of its batch are', async (t) => {
    // Each of these rules is given up after a while by V8, and there are many.
    const slow = (index: number): string =>
      `[[rules]]\nid = "slow${index}"\nregex = '''slow(?:[a-z]+)+([0-9])!{${index + 1}}'''\nkeywords = ["slow"]\n`;
    const rules = `${TOKEN_RULES}\n${Array.from({ length: 40 }, (_, index) => slow(index)).join('')}`;
    const scanner = scannerOf(t, rules, { itemMs: 2_000 });
    const report = await scan(scanner, blob(token(), 'a'), blob(`slow${'a'.repeat(60)}`, 'hard'), blob(token(), 'b'));
    assert.equal(report.unscanned.length, 1);
    assert.equal(report.unscanned[0]?.item.path, 'hard');
    assert.match(report.unscanned[0]?.reason ?? '', /^took too long \(at rule slow\d+\)$/);
    assert.deepEqual(
      report.findings.map(({ path }) => path),
      ['a', 'b'],
    );
  });

  test('a scan that is aborted ends at once, and the scanner goes on', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const stop = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let sent = 0; ; sent += 1) {
        if (sent === 20) stop.abort();
        yield Buffer.alloc(64 * 1024, 'a\n');
      }
    }
    await assert.rejects(scanner.scan([blob(endless())], { signal: stop.signal }), { code: 'aborted' });
    assert.equal((await scan(scanner, blob(token()))).findings.length, 1);
  });

  test('an item whose content fails to be read fails the scan, not the scanner', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(700 * 1024, 'a');
      throw new Error('disk on fire');
    }
    await assert.rejects(scan(scanner, blob(broken())), /disk on fire/);
    assert.equal((await scan(scanner, blob(token()))).findings.length, 1);
  });

  test('a stream of 96 MB is scanned in bounded memory, and a secret across a border is found', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const line = 'const value = compute(input, 42); // nothing to see here\n';
    const chunk = Buffer.from(line.repeat(1_150));
    const chunks = Math.floor((96 * 1024 * 1024) / chunk.length);
    const planted = token();
    async function* long(): AsyncGenerator<Uint8Array> {
      for (let index = 0; index < chunks; index += 1) {
        // Every chunk ends in the middle of a token of its own; the next one goes on with it.
        yield chunk;
        if (index % 500 === 7) yield Buffer.from(` ${planted.slice(0, 9)}`);
        if (index % 500 === 7) yield Buffer.from(`${planted.slice(9)}\n`);
      }
    }
    const before = process.memoryUsage().rss;
    let peak = 0;
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20);
    const report = await scan(scanner, blob(long(), 'long'));
    clearInterval(watch);
    assert.deepEqual(
      report.findings.map(({ line }) => line),
      [8 * 1_150 + 1],
    );
    assert.ok(report.bytes > 95 * 1024 * 1024);
    assert.ok(peak - before < 96 * 1024 * 1024, `grew by ${Math.round((peak - before) / 1024 / 1024)} MiB`);
  });

  test('random bytes of any kind end in a report', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const marks = ['1f8b08', '504b0304', '28b52ffd', 'fffe', 'efbbbf', ''];
    const items = Array.from({ length: 120 }, (_, index) =>
      blob(
        Buffer.concat([Buffer.from(marks[index % marks.length] ?? '', 'hex'), randomBytes(index * 37)]),
        `r${index}`,
      ),
    );
    const report = await scan(scanner, ...items);
    assert.deepEqual([report.items, report.unscanned, report.findings], [120, [], []]);
  });
});
