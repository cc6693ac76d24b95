/** One push, drawn by chance: what it asks for, and its pack. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import type { RawObject } from '../../src/git/odb/odb.ts';
import type { ObjectFormat, Oid } from '../../src/git/oid.ts';
import { Drawing, treeOf } from './receive-objects.ts';
import { makePack } from './receive-packs.ts';
import type { Chance } from './receive-random.ts';
import { spoil } from './receive-spoil.ts';
import { SPOILT_BYTES, SPOILT_PACKS } from './receive-spoil-packs.ts';

/** What the repository is known to have. */
export interface World {
  readonly format: ObjectFormat;
  readonly objects: ReadonlyMap<Oid, RawObject>;
  readonly refs: ReadonlyMap<string, Oid>;
  /** A repository with the same, for git to look into. */
  readonly twin: string;
}

export const KINDS = [
  'good',
  'thin',
  'packed by git',
  'spoilt bytes',
  'spoilt pack',
  'spoilt object',
  'deletion',
  'loose end',
] as const;
export type PushKind = (typeof KINDS)[number];

export interface Push {
  readonly kind: PushKind;
  /** What exactly was done, of what was spoilt. */
  readonly what: string;
  readonly updates: readonly { readonly refname: string; readonly oldOid: Oid; readonly newOid: Oid }[];
  /** Undefined: nothing is sent, as with deletions. */
  readonly pack: Buffer | undefined;
  /** Objects that the repository may have afterwards. */
  readonly made: ReadonlyMap<Oid, RawObject>;
  /** Bytes in one write. */
  readonly chunkBytes: number;
}

export async function drawPush(world: World, chance: Chance): Promise<Push> {
  const drawing = new Drawing(world.format, chance, world.objects);
  const chunkBytes = chance.is(0.7) ? 1_000_000 : chance.of([50, 700, 4_096]);
  const kind = kindOf(chance, world);
  if (kind === 'deletion')
    return { kind, what: '', updates: [deletion(world, chance)], pack: undefined, made: new Map(), chunkBytes };
  const { tree, parents } = groundOf(world, drawing);
  const made = drawing.made;
  if (kind === 'spoilt object') {
    const { what, tip, isTag } = spoil(drawing, tree, parents);
    const updates = [update(world, tip, isTag ? `refs/tags/s${chance.below(1e6)}` : branchOf(chance))];
    return { kind, what, updates, pack: packOf(drawing, 0.3), made, chunkBytes };
  }
  const updates = goodUpdates(world, drawing, { tree, parents });
  if (kind === 'packed by git')
    return { kind, what: '', updates, pack: await packByGit(world, drawing, updates), made, chunkBytes };
  if (kind === 'spoilt pack') {
    const what = chance.of(Object.keys(SPOILT_PACKS));
    return { kind, what, updates, pack: SPOILT_PACKS[what]?.(drawing) ?? Buffer.alloc(0), made, chunkBytes };
  }
  if (kind === 'loose end') addLooseEnd(drawing);
  const pack = packOf(drawing, kind === 'thin' ? 0.8 : 0.1, kind === 'thin');
  if (kind !== 'spoilt bytes') return { kind, what: '', updates, pack, made, chunkBytes };
  const what = chance.of(Object.keys(SPOILT_BYTES));
  return { kind, what, updates, pack: SPOILT_BYTES[what]?.(pack, drawing) ?? pack, made, chunkBytes };
}

function kindOf(chance: Chance, world: World): PushKind {
  const draw = chance.below(100);
  if (draw < 22) return 'good';
  if (draw < 44) return 'thin';
  if (draw < 50) return 'packed by git';
  if (draw < 62) return 'spoilt bytes';
  if (draw < 72) return 'spoilt pack';
  if (draw < 94) return 'spoilt object';
  return draw < 97 && world.refs.size > 3 ? 'deletion' : 'loose end';
}

function branchOf(chance: Chance): string {
  return `refs/heads/${chance.of(['main', 'one', 'two', 'three', 'four'])}`;
}

function update(world: World, newOid: Oid, refname: string): Push['updates'][number] {
  const oldOid = world.refs.get(refname) ?? ('0'.repeat(newOid.length) as Oid);
  return { refname, oldOid, newOid };
}

function deletion(world: World, chance: Chance): Push['updates'][number] {
  const [refname, oldOid] = chance.of([...world.refs].filter(([name]) => name !== 'refs/heads/main'));
  return { refname, oldOid, newOid: '0'.repeat(oldOid.length) as Oid };
}

interface Ground {
  readonly tree: Oid;
  readonly parents: readonly Oid[];
}

/** On one tip, on two (a merge), or on nothing. */
function groundOf(world: World, drawing: Drawing): Ground {
  const { chance } = drawing;
  const tips = [...world.refs.values()].filter((oid) => world.objects.get(oid)?.type === 'commit');
  if (tips.length === 0 || chance.is(0.03)) return { tree: drawing.changed(undefined), parents: [] };
  const parent = chance.of(tips);
  const other = chance.is(0.15) ? chance.of(tips) : parent;
  const tree = drawing.changed(treeOf(world.objects.get(parent)));
  return { tree, parents: other === parent ? [parent] : [parent, other] };
}

/** One to three commits, now and then with tags, or with two refs at once. */
function goodUpdates(world: World, drawing: Drawing, { tree, parents }: Ground): Push['updates'] {
  const { chance } = drawing;
  let tip = drawing.commit(tree, parents);
  for (let more = chance.is(0.3) ? chance.below(3) : 0; more > 0; more -= 1) {
    tip = drawing.commit(drawing.changed(treeOf(drawing.get(tip))), [tip]);
  }
  const updates = [update(world, tip, branchOf(chance))];
  if (chance.is(0.15)) {
    const tag = drawing.tag(tip, 'commit');
    const outer = chance.is(0.3) ? drawing.tag(tag, 'tag') : tag;
    updates.push(update(world, outer, `refs/tags/v${chance.below(1e6)}`));
  }
  if (chance.is(0.05)) updates.push(update(world, drawing.tag(tree, 'tree'), `refs/tags/t${chance.below(1e6)}`));
  return updates;
}

/** Something in the pack that no ref leads to: whole, or with something missing. */
function addLooseEnd(drawing: Drawing): void {
  const { chance } = drawing;
  const absent = '5'.repeat(drawing.format === 'sha1' ? 40 : 64) as Oid;
  if (chance.is(0.3)) drawing.blob();
  else if (chance.is(0.5)) drawing.tree([{ mode: '100644', name: 'absent', oid: absent }]);
  else drawing.commit(drawing.tree([]), chance.is(0.5) ? [absent] : []);
}

function packOf(drawing: Drawing, deltas: number, isThin = drawing.chance.is(0.3)): Buffer {
  const { format, chance, made, had } = drawing;
  return makePack({ format, chance, objects: made, outside: isThin ? had : new Map(), deltas });
}

/** What git itself would send for these updates. */
async function packByGit(world: World, { made, format }: Drawing, updates: Push['updates']): Promise<Buffer> {
  const scratch = await mkdtemp(join(world.twin, '..', 'scratch-'));
  try {
    await git(['init', '-q', '--bare', `--object-format=${format}`, scratch]);
    await writeFile(join(scratch, 'objects', 'info', 'alternates'), `${world.twin}/objects\n`);
    for (const [oid, { type, bytes }] of made) {
      const directory = join(scratch, 'objects', oid.slice(0, 2));
      await mkdir(directory, { recursive: true });
      const content = Buffer.concat([Buffer.from(`${type} ${bytes.length}\0`), bytes]);
      await writeFile(join(directory, oid.slice(2)), deflateSync(content));
    }
    const lines = [...updates.map(({ newOid }) => newOid), ...[...world.refs.values()].map((oid) => `^${oid}`)];
    const options = ['pack-objects', '--revs', '--thin', '--delta-base-offset', '--stdout', '-q'];
    return await git(['-C', scratch, ...options], Buffer.from(`${lines.join('\n')}\n`));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

const ENV = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  LC_ALL: 'C',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
};

/** The output of git, which has to succeed unless `mayFail`. */
export function git(args: readonly string[], input?: Buffer, mayFail = false): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      'git',
      [...args],
      { env: ENV, encoding: 'buffer', maxBuffer: 256 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error === null || mayFail) resolve(Buffer.concat([stdout, ...(mayFail ? [stderr] : [])]));
        else reject(new Error(`git ${args.join(' ')}: ${String(stderr)}`));
      },
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}
