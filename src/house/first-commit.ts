/**
 * The first commit of `gatehouse-admin` as one pack, made here: a process of git for each of its objects would be most
 * of what a first start costs. Formats: gitformat-pack(5), git-cat-file(1) on trees, git-commit-tree(1).
 */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { type ObjectFormat, type Oid, parseOid } from '../git/oid.ts';
import { Fault } from '../base/fault.ts';

export interface FirstCommit {
  readonly objectFormat: ObjectFormat;
  /** `FOLDER/FILE` -> text; no deeper. */
  readonly files: ReadonlyMap<string, string>;
  readonly message: string;
  /** Unix time in seconds. */
  readonly at: number;
}

const KINDS = { commit: 1, tree: 2, blob: 3 } as const;
const IDENTITY = 'Gatehouse <gatehouse@localhost>';

/** The pack for `index-pack --stdin`, and the oid of the commit in it. */
export function packFirstCommit({ objectFormat, files, message, at }: FirstCommit): { pack: Buffer; commit: Oid } {
  const objects = new Objects(objectFormat);
  const folders = new Map<string, Entry[]>();
  for (const [path, text] of files) {
    const [folder = '', name = ''] = path.split('/');
    const entries = folders.get(folder) ?? [];
    entries.push({ mode: '100644', name, id: objects.add('blob', Buffer.from(text)) });
    folders.set(folder, entries);
  }
  const roots = [...folders].map(([name, entries]) => ({ mode: '40000', name, id: objects.addTree(entries) }));
  const tree = objects.addTree(roots).toString('hex');
  const who = `${IDENTITY} ${at} +0000`;
  const text = `tree ${tree}\nauthor ${who}\ncommitter ${who}\n\n${message}`;
  const commit = parseOid(objects.add('commit', Buffer.from(text)).toString('hex'), objectFormat);
  if (commit === undefined) throw new Fault('internal', 'made oid is none', { context: { objectFormat } });
  return { pack: objects.pack(), commit };
}

interface Entry {
  readonly mode: string;
  readonly name: string;
  readonly id: Buffer;
}

class Objects {
  readonly #format: ObjectFormat;
  /** Oid in hexadecimal -> entry of the pack. Two files of one content are one object. */
  readonly #entries = new Map<string, Buffer>();

  constructor(format: ObjectFormat) {
    this.#format = format;
  }

  add(kind: keyof typeof KINDS, content: Buffer): Buffer {
    const id = createHash(this.#format).update(`${kind} ${content.length}\0`).update(content).digest();
    this.#entries.set(
      id.toString('hex'),
      Buffer.concat([entryHeader(KINDS[kind], content.length), deflateSync(content)]),
    );
    return id;
  }

  /** Git sorts by bytes, a folder as if its name ended with a slash. */
  addTree(entries: readonly Entry[]): Buffer {
    const keyed = entries.map((entry) => ({
      entry,
      key: Buffer.from(entry.mode === '40000' ? `${entry.name}/` : entry.name),
    }));
    const sorted = keyed.toSorted((one, other) => Buffer.compare(one.key, other.key));
    return this.add(
      'tree',
      Buffer.concat(sorted.flatMap(({ entry }) => [Buffer.from(`${entry.mode} ${entry.name}\0`), entry.id])),
    );
  }

  pack(): Buffer {
    const header = Buffer.alloc(12);
    header.write('PACK', 'latin1');
    header.writeUInt32BE(2, 4);
    header.writeUInt32BE(this.#entries.size, 8);
    const body = Buffer.concat([header, ...this.#entries.values()]);
    return Buffer.concat([body, createHash(this.#format).update(body).digest()]);
  }
}

/** Type and size: four bits of the size beside the type, then seven a byte, the lowest first. */
function entryHeader(type: number, size: number): Buffer {
  const bytes = [(type << 4) | (size & 0x0f)];
  for (let rest = size >>> 4; rest > 0; rest >>>= 7) {
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 0x80;
    bytes.push(rest & 0x7f);
  }
  return Buffer.from(bytes);
}
