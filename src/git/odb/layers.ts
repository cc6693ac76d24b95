/** Objects of several places as one: a push's own before those of its repository. */
import type { Oid } from '../oid.ts';
import type { Odb, RawObject } from './odb.ts';

/** What `first` has, else what `then` has. */
export function layered(first: Odb, then: Odb): Odb {
  return {
    read: async (oid) => (await first.read(oid)) ?? then.read(oid),
    header: async (oid) => (await first.header(oid)) ?? then.header(oid),
  };
}

/** Objects that are in memory, whose oids were computed from them. */
export function inMemory(objects: ReadonlyMap<Oid, RawObject>): Odb {
  return {
    read: (oid) => Promise.resolve(objects.get(oid)),
    header(oid) {
      const object = objects.get(oid);
      return Promise.resolve(object && { type: object.type, size: object.bytes.length });
    },
  };
}
