/** What a broken or hostile client does: to objects before they are packed, to entries, and to the bytes of a pack. */
import { deflateSync } from 'node:zlib';
import type { RawObject } from '../../src/git/odb/odb.ts';
import type { Oid } from '../../src/git/oid.ts';
import { type Drawing, entriesOf, rawTree, WHO, type Entry } from './receive-objects.ts';
import { deltaSize, entryHead, makeDelta, sealed, wholeEntry, withChecksum } from './receive-packs.ts';
import type { Chance } from './receive-random.ts';

const checksumBytes = (drawing: Drawing): number => (drawing.format === 'sha1' ? 20 : 32);

/**
 * Each changes the bytes of a whole pack. Not among them: bytes behind it, of which `git receive-pack` says now this, now that,
 * as its index-pack writes them into a pipe that may be closed by then.
 */
export const SPOILT_BYTES: Readonly<Record<string, (pack: Buffer, drawing: Drawing) => Buffer>> = {
  'a flipped bit': (pack, { chance }) => flipped(pack, chance),
  'a flipped bit under a right checksum': (pack, drawing) => {
    const body = flipped(pack.subarray(0, pack.length - checksumBytes(drawing)), drawing.chance);
    return withChecksum(drawing.format, body);
  },
  'a truncated pack': (pack, { chance }) => pack.subarray(0, 13 + chance.below(pack.length - 13)),
  'a count one too high': (pack, drawing) => counted(pack, drawing, 1),
  'a count one too low': (pack, drawing) => counted(pack, drawing, -1),
  'a wrong checksum': (pack, { chance }) => Buffer.concat([pack.subarray(0, -4), chance.bytes(4)]),
  'pack version 3': (pack, drawing) => {
    const body = Buffer.from(pack.subarray(0, pack.length - checksumBytes(drawing)));
    body.writeUInt32BE(3, 4);
    return withChecksum(drawing.format, body);
  },
};

function flipped(pack: Buffer, chance: Chance): Buffer {
  const copy = Buffer.from(pack);
  const at = 12 + chance.below(copy.length - 12);
  copy[at] = (copy[at] ?? 0) ^ (1 << chance.below(8));
  return copy;
}

function counted(pack: Buffer, drawing: Drawing, by: number): Buffer {
  const body = Buffer.from(pack.subarray(0, pack.length - checksumBytes(drawing)));
  body.writeUInt32BE(body.readUInt32BE(8) + by, 8);
  return withChecksum(drawing.format, body);
}

/** Each makes a pack of the objects in a way that no good client does. */
export const SPOILT_PACKS: Readonly<Record<string, (drawing: Drawing) => Buffer>> = {
  'an object twice': (drawing) => {
    const entries = whole(drawing);
    return sealed(drawing.format, [...entries, drawing.chance.of(entries)]);
  },
  'an object is missing': (drawing) => sealed(drawing.format, drawing.chance.shuffled(whole(drawing)).slice(1)),
  'an object that the repository has': (drawing) => {
    const old = [...drawing.had.values()];
    const extra = old.length === 0 ? [] : [wholeEntry(drawing.chance.of(old), drawing.chance)];
    return sealed(drawing.format, [...whole(drawing), ...extra]);
  },
  'a delta of itself': (drawing) => {
    const bytes = Buffer.from('something');
    const oid = drawing.add('blob', bytes);
    return sealed(drawing.format, [...whole(drawing), namedDelta(oid, makeDelta(bytes, bytes))]);
  },
  'deltas in a circle': (drawing) => {
    const [one, two] = [Buffer.from('one of two\n'), Buffer.from('two of two\n')];
    const names = [drawing.add('blob', one), drawing.add('blob', two)];
    const rest = [...drawing.made].filter(([oid]) => !names.includes(oid));
    const circle = [namedDelta(names[1], makeDelta(two, one)), namedDelta(names[0], makeDelta(one, two))];
    return sealed(drawing.format, [...rest.map(([, object]) => wholeEntry(object, drawing.chance)), ...circle]);
  },
  'a delta of nothing': (drawing) => {
    const delta = makeDelta(Buffer.from('absent'), Buffer.from('present'));
    return sealed(drawing.format, [...whole(drawing), namedDelta('7'.repeat(checksumBytes(drawing) * 2), delta)]);
  },
  'a delta that says another base size': (drawing) =>
    withDelta(drawing, (base) => {
      return Buffer.concat([deltaSize(base.length + 1), deltaSize(4), Buffer.from([4, 1, 2, 3, 4])]);
    }),
  'a delta that says another result size': (drawing) =>
    withDelta(drawing, (base) => {
      return Buffer.concat([deltaSize(base.length), deltaSize(5), Buffer.from([4, 1, 2, 3, 4])]);
    }),
  'a delta that copies beyond its base': (drawing) =>
    withDelta(drawing, (base) => {
      return Buffer.concat([deltaSize(base.length), deltaSize(9), Buffer.from([0x91, base.length & 0xff, 9])]);
    }),
  'a delta with the reserved instruction': (drawing) =>
    withDelta(drawing, (base) => {
      return Buffer.concat([deltaSize(base.length), deltaSize(1), Buffer.from([0, 1, 65])]);
    }),
  'a delta to nothing': (drawing) =>
    withDelta(drawing, (base) => {
      return Buffer.concat([deltaSize(base.length), deltaSize(0)]);
    }),
  'a delta bomb': (drawing) =>
    withDelta(drawing, (base) => {
      const copy = Buffer.from([0x80 | 0x30, base.length & 0xff, base.length >> 8]);
      const times = Math.floor(3_000_000 / Math.max(1, base.length));
      return Buffer.concat([
        deltaSize(base.length),
        deltaSize(times * base.length),
        ...Array.from({ length: times }, () => copy),
      ]);
    }),
  'a chain of deltas': (drawing) => {
    let last = Buffer.from('link 0\n'.repeat(20));
    const entries = [wholeEntry({ type: 'blob', bytes: last }, drawing.chance)];
    let oid = drawing.add('blob', last);
    for (let link = 1; link < 120; link += 1) {
      const next = Buffer.concat([last.subarray(0, 100), Buffer.from(`link ${link}\n`)]);
      entries.push(namedDelta(oid, makeDelta(last, next)));
      oid = drawing.add('blob', next);
      last = next;
    }
    const rest = [...drawing.made.values()].filter(({ type }) => type !== 'blob');
    const blobs = [...drawing.made.values()].filter(({ type, bytes }) => type === 'blob' && !bytes.includes('link '));
    return sealed(
      drawing.format,
      drawing.chance.shuffled([...entries, ...[...rest, ...blobs].map((one) => wholeEntry(one, drawing.chance))]),
    );
  },
  'an entry of an unknown type': (drawing) => {
    const bytes = Buffer.from('what');
    const entry = Buffer.concat([entryHead(drawing.chance.of([0, 5]), bytes.length), deflateSync(bytes)]);
    return sealed(drawing.format, [...whole(drawing), entry]);
  },
  'an entry that says another size': (drawing) => {
    const bytes = Buffer.from('some bytes');
    const size = bytes.length + drawing.chance.of([-1, 1, 5_000_000_000]);
    return sealed(drawing.format, [...whole(drawing), Buffer.concat([entryHead(3, size), deflateSync(bytes)])]);
  },
  'an entry with a dictionary': (drawing) => {
    const bytes = Buffer.from('some bytes');
    const entry = Buffer.concat([entryHead(3, bytes.length), deflateSync(bytes, { dictionary: Buffer.from('some') })]);
    return sealed(drawing.format, [...whole(drawing), entry]);
  },
};

function whole({ made, chance }: Drawing): readonly Buffer[] {
  return chance.shuffled([...made.values()].map((object) => wholeEntry(object, chance)));
}

function namedDelta(base: string | undefined, delta: Buffer): Buffer {
  return Buffer.concat([entryHead(7, delta.length), Buffer.from(base ?? '', 'hex'), deflateSync(delta)]);
}

function withDelta(drawing: Drawing, make: (base: Buffer) => Buffer): Buffer {
  const all = [...drawing.made, ...drawing.had].filter(
    ([, { type, bytes }]) => type === 'blob' && bytes.length < 16_000,
  );
  const [oid, base] = drawing.chance.of(all);
  return sealed(drawing.format, [...whole(drawing), namedDelta(oid, make(base.bytes))]);
}

/** Each makes another commit of a tree and its parents. */
export const SPOILT_COMMITS: Readonly<Record<string, (text: string, drawing: Drawing) => string | Buffer>> = {
  'no author': (text) => text.replace(/^author .*\n/m, ''),
  'two authors': (text) => text.replace(/^(author .*\n)/m, '$1$1'),
  'no committer': (text) => text.replace(/^committer .*\n/m, ''),
  'committer before author': (text) => text.replace(/^(author .*\n)(committer .*\n)/m, '$2$1'),
  'no tree': (text) => text.replace(/^tree .*\n/, ''),
  'a bad tree': (text) => text.replace(/^tree ./, 'tree x'),
  'an upper-case tree': (text) => text.replace(/^tree (.*)/, (_, oid: string) => `tree ${oid.toUpperCase()}`),
  'a null tree': (text) => text.replace(/^tree (.*)/, (_, oid: string) => `tree ${'0'.repeat(oid.length)}`),
  'a bad parent': (text) => text.replace(/^author/m, 'parent abc\nauthor'),
  'a parent that is no commit': (text, drawing) => text.replace(/^author/m, `parent ${drawing.blob()}\nauthor`),
  'a missing parent': (text) => text.replace(/^tree (.)(.*)\n/, (line, _, rest: string) => `${line}parent 9${rest}\n`),
  'no mail address': (text) =>
    text.replace(/^committer .*</m, 'committer A <').replace(/^author .*> /m, 'author A U Thor '),
  'no blank before the address': (text) => text.replace(/^author .*</m, 'author A<'),
  'no name': (text) => text.replace(/^author .*</m, 'author <'),
  'a name with an angle': (text) => text.replace(/^author .*</m, 'author A > <'),
  'an address with an angle': (text) => text.replace(/^author .*> /m, 'author A <a<b> '),
  'no blank before the date': (text) => text.replace(/^(author .*>) /m, '$1'),
  'a date with a zero in front': (text) => text.replace(/> \d+ /, '> 01700000000 '),
  'a date that is too large': (text) => text.replace(/> \d+ /, '> 99999999999999999999 '),
  'a late date': (text) => text.replace(/> \d+ /, '> 9223372036854775806 '),
  'a date before time': (text) => text.replace(/> \d+ /, '> -1 '),
  'no date': (text) => text.replace(/> \d+ /, '>  '),
  'a bad time zone': (text) => text.replace(/ [+-]\d{4}\n/, ' +100\n'),
  'no time zone': (text) => text.replace(/ [+-]\d{4}\n/, '\n'),
  'a long time zone': (text) => text.replace(/ [+-]\d{4}\n/, ' +01000\n'),
  'NUL in the message': (text) => `${text}\0more`,
  'NUL in the header': (text) => text.replace('author', 'author\0'),
  'an endless header': (text) => text.split('\n\n')[0] ?? '',
  'no message': (text) => `${text.split('\n\n')[0] ?? ''}\n`,
  'nothing at all': () => '',
  'an odd header': (text) => text.replace(/^(committer .*\n)/m, '$1odd\n'),
  'a continued header': (text) => text.replace(/^(committer .*\n)/m, '$1mergetag object x\n and\n so on\n'),
  'a header in the wrong place': (text) => text.replace(/^(committer .*\n)/m, '$1parent x\n'),
  'bytes that are no text': (text, { chance }) => Buffer.concat([Buffer.from(text), chance.bytes(20)]),
  'carriage returns': (text) => text.replaceAll('\n', '\r\n'),
};

export const SPOILT_TAGS: Readonly<Record<string, (text: string, drawing: Drawing) => string>> = {
  'no tagger': (text) => text.replace(/^tagger .*\n/m, ''),
  'no tag name': (text) => text.replace(/^tag .*\n/m, ''),
  'an odd tag name': (text) => text.replace(/^tag .*\n/m, 'tag a..b\n'),
  'a tag name with a blank': (text) => text.replace(/^tag .*\n/m, 'tag a b\n'),
  'no type': (text) => text.replace(/^type .*\n/m, ''),
  'an unknown type': (text) => text.replace(/^type .*\n/m, 'type thing\n'),
  'another type': (text) => text.replace(/^type .*\n/m, 'type blob\n'),
  'a bad object': (text) => text.replace(/^object ./, 'object x'),
  'a missing object': (text) =>
    text.replace(/^object (.)/, (_, digit: string) => `object ${digit === '8' ? '9' : '8'}`),
  'a tagger without a date': (text) => text.replace(/^tagger .*\n/m, 'tagger A <a@b>\n'),
  'more headers': (text) => text.replace(/^(tagger .*\n)/m, '$1odd header\n'),
  'NUL in the message of a tag': (text) => `${text}\0more`,
  'an endless header of a tag': (text) => text.split('\n\n')[0] ?? '',
};

export const ODD_NAMES = [
  '.',
  '..',
  '.git',
  '.GIT',
  '.Git',
  '.git ',
  '.git.',
  '.git...',
  '.git:x',
  '.git::$INDEX_ALLOCATION',
  'git~1',
  'g~123456',
  'm~123456',
  '~1234567',
  'GIT~1',
  'git~2',
  '.g\u200cit',
  '.gi\u200dt',
  '\u206a.git',
  '.git\u200f',
  '.gitmodules ',
  '.gitmodules::$DATA',
  '.GITMODULES',
  'gitmod~1',
  'GITMOD~4',
  'gitmod~5',
  'gi7eba~1',
  'GI7EBA~9',
  'gi7eb~10',
  '.gitmodule\u200cs',
  '.gitattributes ',
  'gi7d29~1',
  '.gitignore.',
  'gi250a~1',
  '.mailmap',
  'maba30~1',
  'mailma~1',
  '.mailmap.',
  '..git',
  '.gitk',
  '.github',
  '.git-blame-ignore-revs',
  '.gitlab-ci.yml',
  'a\\b',
  '.git\\x',
  'a\\.git',
  'x\\.git\\y',
  'a/b',
  '/',
  '',
  'con',
  'aux.txt',
  'a\nb',
  'a~',
  'main.c~',
  'a:b',
  '~',
  'é',
  '\ufeffx',
  'git',
  '.gi',
  'x.git',
  '.gitfoo~1',
  'n'.repeat(250),
] as const;

/** Each makes the entries of a tree, as raw bytes. */
export const SPOILT_TREES: Readonly<Record<string, (entries: readonly Entry[], drawing: Drawing) => Buffer>> = {
  'an odd mode': (entries, { chance }) =>
    rawTree(
      entries.map((entry, index) =>
        index > 0
          ? entry
          : {
              ...entry,
              mode: chance.of([
                '100664',
                '100600',
                '100640',
                '0100644',
                '040000',
                '100777',
                '0',
                '20000',
                '140000',
                '160001',
                '12000',
                '777777777',
              ]),
            },
      ),
    ),
  'not sorted': (entries) => rawTree([...entries].reverse()),
  'an entry twice': (entries) => rawTree(entries.flatMap((entry, index) => (index > 0 ? [entry] : [entry, entry]))),
  'a file and a directory of one name': (entries, drawing) => {
    const [file, directory] = [drawing.blob(), drawing.tree([])];
    return rawTree([
      { mode: '100644', name: 'same', oid: file },
      { mode: '100644', name: 'same.x', oid: file },
      { mode: '40000', name: 'same', oid: directory },
      ...entries.filter(({ name }) => name > 'same~'),
    ]);
  },
  'an entry of nothing': (entries) =>
    rawTree(
      entries.map((entry, index) => (index > 0 ? entry : { ...entry, oid: '0'.repeat(entry.oid.length) as Oid })),
    ),
  'an entry that is missing': (entries) =>
    rawTree(
      entries.map((entry, index) => (index > 0 ? entry : { ...entry, oid: '3'.repeat(entry.oid.length) as Oid })),
    ),
  'an entry of another type': (entries) =>
    rawTree(
      entries.map((entry, index) =>
        index > 0 ? entry : { ...entry, mode: entry.mode === '40000' ? '100644' : '40000', name: entry.name },
      ),
    ),
  'a truncated tree': (entries) => rawTree(entries).subarray(0, -3),
  'bytes behind a tree': (entries) => Buffer.concat([rawTree(entries), Buffer.from('100644 x')]),
  'an odd name': (entries, drawing) => named(entries, drawing, drawing.chance.of(ODD_NAMES), '100644'),
  'an odd name of a directory': (entries, drawing) => named(entries, drawing, drawing.chance.of(ODD_NAMES), '40000'),
  'an odd name of a link': (entries, drawing) =>
    named(entries, drawing, drawing.chance.of([...ODD_NAMES, '.gitmodules', '.gitattributes', '.gitignore']), '120000'),
  'an odd name of a submodule': (entries, drawing) => named(entries, drawing, drawing.chance.of(ODD_NAMES), '160000'),
  '.gitmodules that is odd': (entries, drawing) =>
    named(entries, drawing, '.gitmodules', '100644', drawing.add('blob', drawing.chance.of(MODULES))),
  '.gitmodules that is a directory': (entries, drawing) => named(entries, drawing, '.gitmodules', '40000'),
  '.gitattributes that is odd': (entries, drawing) =>
    named(entries, drawing, '.gitattributes', '100644', drawing.add('blob', drawing.chance.of(ATTRIBUTES))),
};

function named(entries: readonly Entry[], drawing: Drawing, name: string, mode: string, oid?: Oid): Buffer {
  const target = oid ?? (mode === '40000' ? drawing.tree([]) : drawing.blob());
  const bytes = Buffer.from(name).toString('latin1');
  const key = (entry: Entry): Buffer => Buffer.from(entry.mode === '40000' ? `${entry.name}/` : entry.name, 'latin1');
  const all = [...entries.filter((entry) => entry.name !== bytes), { mode, name: bytes, oid: target }];
  return rawTree(all.sort((one, other) => Buffer.compare(key(one), key(other))));
}

const section = (name: string, setting: string): string => `[submodule "${name}"]\n\t${setting}\n`;
export const MODULES = [
  section('a', 'path = a\n\turl = https://example.com/a.git\n\tbranch = main'),
  section('../evil', 'path = a'),
  section('a/../../b', 'path = a'),
  section('..', 'url = x'),
  section('a', 'url = -u./payload'),
  section('a', 'path = -p'),
  section('a', 'update = !touch x'),
  section('a', 'update = rebase'),
  section('a', 'url = ../../../a%0ab'),
  section('a', 'url = https://example.com%0a.git'),
  section('a', 'url = https:///x'),
  section('a', 'url = ../..://x'),
  section('a', 'url = git://host/a%0ab'),
  section('a', 'url = "https://example.com/a"'),
  section('a', 'url = https://example.com/a # b'),
  section('a\\"b', 'path = x'),
  '[submodule "open',
  '[submodule',
  '[core]\n\tx = y\n',
  '[submodule "a"] path = ../x\n',
  '# nothing\n',
  '',
  'garbage',
  '['.repeat(2_000),
  '\ufeff[submodule "a"]\n',
  '[SUBMODULE "../x"]\n\tpath = y\n',
  '[submodule.a]\n\turl = -x\n',
  section('a', 'url = http::-x'),
  section('a', 'url = ./../../:x'),
  section('a b', 'path = a b'),
  section('a', 'url = https://user@example.com:8080/~a/b.git'),
  section('a', 'url = git@example.com:a/b.git'),
  section('a', 'url = ../a.git'),
  section('a', 'url = ssh://-oProxy/a'),
  section('a', 'path = a/../b'),
  section('a', 'ignore = all'),
  '[submodule "a"]\r\n\tpath = a\r\n',
] as const;
export const ATTRIBUTES = [
  '',
  '* text=auto\n',
  `${'a'.repeat(2_047)}\n`,
  `${'a'.repeat(2_048)}\n`,
  `x\n${'b'.repeat(3_000)}`,
  `${'a'.repeat(1_990)} b`,
  'a\0b',
  '\u00ff',
] as const;

/** A commit whose tree, itself, or a tag on it is spoilt. Returns what was done, and the tip. */
export function spoil(
  drawing: Drawing,
  tree: Oid,
  parents: readonly Oid[],
): { readonly what: string; readonly tip: Oid; readonly isTag: boolean } {
  const { chance } = drawing;
  const kind = chance.below(10);
  if (kind < 5) {
    const what = chance.of(Object.keys(SPOILT_TREES));
    const entries = entriesOf(drawing.get(tree)?.bytes, drawing.format);
    const base = entries.length > 0 ? entries : [{ mode: '100644', name: 'file', oid: drawing.blob() }];
    let odd = drawing.add('tree', SPOILT_TREES[what]?.(base, drawing) ?? Buffer.alloc(0));
    if (chance.is(0.3)) odd = drawing.tree([{ mode: '40000', name: 'below', oid: odd }]);
    return { what, tip: drawing.commit(odd, parents), isTag: false };
  }
  const good = drawing.commit(tree, parents);
  const text = textOf(drawing.get(good));
  if (kind < 8) {
    const what = chance.of(Object.keys(SPOILT_COMMITS));
    drawing.made.delete(good);
    return { what, tip: drawing.add('commit', SPOILT_COMMITS[what]?.(text, drawing) ?? ''), isTag: false };
  }
  const what = chance.of(Object.keys(SPOILT_TAGS));
  const tag = `object ${good}\ntype commit\ntag v${chance.below(99)}\ntagger ${WHO}\n\nRelease\n`;
  return { what, tip: drawing.add('tag', SPOILT_TAGS[what]?.(tag, drawing) ?? ''), isTag: true };
}

/** The bytes of a commit that was just made are UTF-8. */
function textOf(object: RawObject | undefined): string {
  return object?.bytes.toString() ?? '';
}
