/** Objects made by hand: well-formed histories on what a repository has, for pushes and for what is done to pushes. */
import { createHash } from 'node:crypto';
import type { RawObject } from '../../src/git/odb/odb.ts';
import type { ObjectFormat, Oid } from '../../src/git/oid.ts';
import type { Chance } from './receive-random.ts';

export type Objects = Map<Oid, RawObject>;

export interface Entry {
  readonly mode: string;
  /** Latin1: one character a byte. */
  readonly name: string;
  readonly oid: Oid;
}

export const WHO = 'A U Thor <author@example.com> 1700000000 +0100';

/** A repository as it is known to be, and new objects on top of it. */
export class Drawing {
  readonly format: ObjectFormat;
  readonly chance: Chance;
  /** What the repository has. */
  readonly had: ReadonlyMap<Oid, RawObject>;
  /** What is new. */
  readonly made: Objects = new Map();

  constructor(format: ObjectFormat, chance: Chance, had: ReadonlyMap<Oid, RawObject>) {
    this.format = format;
    this.chance = chance;
    this.had = had;
  }

  get(oid: Oid): RawObject | undefined {
    return this.made.get(oid) ?? this.had.get(oid);
  }

  add(type: RawObject['type'], bytes: Buffer | string): Oid {
    const object = { type, bytes: Buffer.from(bytes) };
    const oid = nameOf(this.format, object);
    if (!this.had.has(oid)) this.made.set(oid, object);
    return oid;
  }

  blob(): Oid {
    const { chance } = this;
    if (chance.is(0.02)) return this.add('blob', chance.bytes(20_000 + chance.below(80_000)));
    if (chance.is(0.02)) return this.add('blob', '');
    const lines = Array.from({ length: 1 + chance.below(60) }, (_, line) => `line ${line} ${chance.below(9)}`);
    return this.add('blob', `${lines.join('\n')}${chance.is(0.9) ? '\n' : ''}${chance.below(1_000)}`);
  }

  tree(entries: readonly Entry[]): Oid {
    return this.add('tree', treeBytes(entries));
  }

  commit(tree: Oid, parents: readonly Oid[]): Oid {
    const { chance } = this;
    const headers = [
      `tree ${tree}`,
      ...parents.map((parent) => `parent ${parent}`),
      `author ${chance.is(0.1) ? 'É <é@x> 0 -1130' : WHO}`,
      `committer ${WHO}`,
      ...(chance.is(0.1) ? ['encoding ISO-8859-1'] : []),
      ...(chance.is(0.1) ? ['gpgsig -----BEGIN PGP SIGNATURE-----', ' ', ' abc', ' -----END PGP SIGNATURE-----'] : []),
    ];
    const message = chance.is(0.05) ? '' : `\nDo ${chance.word()} ${chance.below(1e6)}\n`;
    return this.add('commit', `${headers.join('\n')}\n${message}`);
  }

  tag(oid: Oid, type: RawObject['type']): Oid {
    const name = `v${this.chance.below(1_000)}.${this.chance.below(10)}`;
    return this.add('tag', `object ${oid}\ntype ${type}\ntag ${name}\ntagger ${WHO}\n\nRelease\n`);
  }

  /** The tree with one to three changes: files, directories, links, submodules, files of git's. */
  changed(tree: Oid | undefined, depth = 0): Oid {
    const { chance } = this;
    const entries = new Map(entriesOf(this.get(tree ?? ('' as Oid))?.bytes, this.format).map((one) => [one.name, one]));
    for (let count = 1 + chance.below(3); count > 0; count -= 1) this.#change(entries, depth);
    return this.tree([...entries.values()]);
  }

  #change(entries: Map<string, Entry>, depth: number): void {
    const { chance } = this;
    const old = [...entries.values()];
    const put = (mode: string, name: string, oid: Oid): void => {
      entries.set(name, { mode, name, oid });
    };
    const kind = chance.below(20);
    if (kind < 6 && old.length > 0) {
      const entry = chance.of(old);
      if (entry.mode === '40000' && depth < 4) put('40000', entry.name, this.changed(entry.oid, depth + 1));
      else if (entry.mode.startsWith('100')) put(entry.mode, entry.name, this.blob());
    } else if (kind < 8 && old.length > 1) entries.delete(chance.of(old).name);
    else if (kind < 10 && old.length > 0) {
      const entry = chance.of(old);
      if (entry.name.startsWith('.')) return;
      entries.delete(entry.name);
      const name = latin1(chance.word());
      put(entry.mode, name, entry.oid);
    } else if (kind < 13 && depth < 4) put('40000', latin1(chance.word()), this.changed(undefined, depth + 1));
    else if (kind === 13) put('120000', latin1(`link-${chance.word()}`), this.add('blob', chance.word()));
    else if (kind === 14) {
      put('160000', 'sub', nameOf(this.format, { type: 'blob', bytes: chance.bytes(8) }));
      put('100644', '.gitmodules', this.modules(`sub${chance.below(3)}`));
    } else if (kind === 15)
      put('100644', '.gitattributes', this.add('blob', `*.bin binary\n*.x${chance.below(4)} text\n`));
    else if (kind === 16) put('100644', '.gitignore', this.add('blob', `*.o\n${chance.below(9)}\n`));
    else if (kind === 17 && chance.is(0.3)) put('40000', 'empty', this.tree([]));
    else put(chance.is(0.2) ? '100755' : '100644', latin1(chance.word()), this.blob());
  }

  modules(name: string): Oid {
    return this.add('blob', `[submodule "${name}"]\n\tpath = sub\n\turl = https://example.com/${name}.git\n`);
  }
}

/** Text as the characters of its UTF-8 bytes. */
export function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

export function nameOf(format: ObjectFormat, { type, bytes }: RawObject): Oid {
  return createHash(format).update(`${type} ${bytes.length}\0`).update(bytes).digest('hex') as Oid;
}

export function treeBytes(entries: readonly Entry[]): Buffer {
  const key = ({ mode, name }: Entry): Buffer => Buffer.from(mode === '40000' ? `${name}/` : name, 'latin1');
  return rawTree([...entries].sort((one, other) => Buffer.compare(key(one), key(other))));
}

/** In the order given. */
export function rawTree(entries: readonly Entry[]): Buffer {
  return Buffer.concat(
    entries.flatMap(({ mode, name, oid }) => [Buffer.from(`${mode} ${name}\0`, 'latin1'), Buffer.from(oid, 'hex')]),
  );
}

export function entriesOf(bytes: Buffer | undefined, format: ObjectFormat): readonly Entry[] {
  const tree = bytes ?? Buffer.alloc(0);
  const entries: Entry[] = [];
  const oidBytes = format === 'sha1' ? 20 : 32;
  for (let at = 0; at < tree.length;) {
    const space = tree.indexOf(0x20, at);
    const end = tree.indexOf(0, space);
    const oid = tree.toString('hex', end + 1, end + 1 + oidBytes) as Oid;
    entries.push({ mode: tree.toString('latin1', at, space), name: tree.toString('latin1', space + 1, end), oid });
    at = end + 1 + oidBytes;
  }
  return entries;
}

export function treeOf(commit: RawObject | undefined): Oid | undefined {
  return /^tree ([0-9a-f]+)/.exec(commit?.bytes.toString('latin1') ?? '')?.[1] as Oid | undefined;
}
