/** What a broken or hostile client does to objects before they are packed. */
import type { RawObject } from '../../src/git/odb/odb.ts';
import type { Oid } from '../../src/git/oid.ts';
import { type Drawing, entriesOf, rawTree, WHO, type Entry } from './receive-objects.ts';

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
