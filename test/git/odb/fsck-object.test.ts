/** What is plain, git takes in silence: everything that the soak spoils, in one pack with what it needs. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isPlainAttributes, isPlainModules } from '../../../src/git/odb/fsck-files.ts';
import { isPlainObject } from '../../../src/git/odb/fsck-object.ts';
import type { RawObject } from '../../../src/git/odb/odb.ts';
import { OBJECT_FORMATS, type Oid } from '../../../src/git/oid.ts';
import { Drawing, entriesOf, WHO, type Objects } from '../../soak/receive-objects.ts';
import { makePack } from '../../soak/receive-packs.ts';
import { git } from '../../soak/receive-pushes.ts';
import { Chance } from '../../soak/receive-random.ts';
import { ATTRIBUTES, MODULES, ODD_NAMES, SPOILT_COMMITS, SPOILT_TAGS, SPOILT_TREES } from '../../soak/receive-spoil.ts';

const FORBIDDEN_COMMITS = [
  'no author',
  'two authors',
  'no committer',
  'committer before author',
  'no tree',
  'a bad tree',
  'a bad parent',
  'no mail address',
  'no blank before the address',
  'no name',
  'a name with an angle',
  'an address with an angle',
  'no blank before the date',
  'a date with a zero in front',
  'a date that is too large',
  'no date',
  'a bad time zone',
  'no time zone',
  'a long time zone',
  'NUL in the message',
  'NUL in the header',
  'an endless header',
  'nothing at all',
];
const FORBIDDEN_TAGS = [
  'no tagger',
  'no tag name',
  'an odd tag name',
  'a tag name with a blank',
  'no type',
  'an unknown type',
  'a bad object',
  'a tagger without a date',
  'an endless header of a tag',
];
const FORBIDDEN_TREES = [
  'an odd mode',
  'not sorted',
  'an entry twice',
  'a file and a directory of one name',
  'an entry of nothing',
  'a truncated tree',
  'bytes behind a tree',
  '.gitmodules that is a directory',
];

interface Variant {
  readonly what: string;
  readonly object: RawObject;
}

/** Everything that can be spoilt, several times where chance has a say. */
function variantsOf(drawing: Drawing): readonly Variant[] {
  const tree = drawing.changed(drawing.changed(undefined));
  const entries = [...entriesOf(drawing.get(tree)?.bytes, drawing.format)];
  entries.unshift({ mode: '100644', name: '!first', oid: drawing.blob() });
  const commit = drawing.commit(drawing.tree(entries), []);
  const text = String(drawing.get(commit)?.bytes);
  const tag = `object ${commit}\ntype commit\ntag v1\ntagger ${WHO}\n\nRelease\n`;
  const variants: Variant[] = [];
  const add = (what: string, type: RawObject['type'], bytes: Buffer | string): void => {
    variants.push({ what, object: { type, bytes: Buffer.from(bytes) } });
  };
  for (const [what, make] of Object.entries(SPOILT_COMMITS)) add(what, 'commit', make(text, drawing));
  for (const [what, make] of Object.entries(SPOILT_TAGS)) add(what, 'tag', make(tag, drawing));
  for (const [what, make] of Object.entries(SPOILT_TREES)) {
    for (let times = 0; times < 100; times += 1) add(what, 'tree', make(entries, drawing));
  }
  return variants;
}

/** The plain ones, where all that they lead to is there and plain. */
function plainOnes(drawing: Drawing): Objects {
  const plain: Objects = new Map();
  for (const { what, object } of variantsOf(drawing)) {
    const isForbidden = [...FORBIDDEN_COMMITS, ...FORBIDDEN_TAGS, ...FORBIDDEN_TREES].includes(what);
    const oid = drawing.add(object.type, object.bytes);
    const reached: Objects = new Map();
    if (!reach(drawing, oid, reached)) continue;
    assert.ok(!isForbidden, `${what} is plain: ${object.bytes.toString('latin1')}`);
    for (const [name, one] of reached) plain.set(name, one);
  }
  return plain;
}

/** False where anything is missing, of another type, or not plain. */
function reach(drawing: Drawing, oid: Oid, reached: Objects): boolean {
  const object = drawing.get(oid);
  if (object === undefined) return false;
  if (reached.has(oid)) return true;
  reached.set(oid, object);
  const needs: (readonly [Oid, string])[] = [];
  let isSeen = true;
  const isPlain = isPlainObject(object, drawing.format, {
    need: (needed, type) => void needs.push([needed, type]),
    look: (blob, as) => {
      const bytes = drawing.get(blob)?.bytes ?? Buffer.alloc(0);
      if (!(as === 'modules' ? isPlainModules(bytes) : isPlainAttributes(bytes))) isSeen = false;
    },
  });
  if (!isPlain || !isSeen) return false;
  return needs.every(([needed, type]) => drawing.get(needed)?.type === type && reach(drawing, needed, reached));
}

async function scratch(context: TestContext, format: string): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'gatehouse-fsck-'));
  context.after(() => rm(root, { recursive: true, force: true, maxRetries: 5 }));
  await git(['init', '-q', '--bare', `--object-format=${format}`, root]);
  return root;
}

for (const format of OBJECT_FORMATS) {
  test(`isPlainObject calls nothing plain that git refuses or warns of (${format})`, async (context) => {
    const chance = new Chance(7);
    const drawing = new Drawing(format, chance, new Map());
    const objects = plainOnes(drawing);
    assert.ok(objects.size > 50, `${objects.size} are plain`);
    const root = await scratch(context, format);
    const pack = makePack({ format, chance, objects, outside: new Map(), deltas: 0 });
    const said = String(await git(['-C', root, 'index-pack', '--stdin', '--strict'], pack, true));
    assert.match(said, /^pack\t[0-9a-f]+\n$/);
  });
}

test('isPlainModules calls nothing plain that could start a program or leave its place', () => {
  const evil = MODULES.filter((text) => /\.\.\/evil|\/\.\.\/|"\.\."|= -|!|%0a|:-|https:\/\/\/|\.\.:|\r|-o/.test(text));
  assert.ok(evil.length > 10);
  for (const text of evil) assert.equal(isPlainModules(Buffer.from(text)), false, text);
  assert.equal(isPlainModules(Buffer.from(MODULES[0])), true);
  assert.ok(ATTRIBUTES.length > 0 && ODD_NAMES.length > 0);
});
