/** What a broken or hostile client does to entries, and to the bytes of a pack. */
import { deflateSync } from 'node:zlib';
import type { Drawing } from './receive-objects.ts';
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
