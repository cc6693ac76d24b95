/**
 * Typed fields of an object that came out of the store. What does not have the type that was once written
 * there means that the state on disk contradicts itself: a `Fault`, never a guess.
 */
import { Fault } from './fault.ts';
import { isJsonObject, type Json } from './json.ts';

export interface Fields {
  /** @throws Fault 'corrupt' where it is absent or no string; so do the others, each for its type. */
  text(key: string): string;
  optionalText(key: string): string | undefined;
  number(key: string): number;
  optionalNumber(key: string): number | undefined;
  flag(key: string): boolean;
  texts(key: string): readonly string[];
  objects(key: string): readonly Fields[];
  /** A string that is one of `words`. */
  word<const T extends string>(key: string, words: readonly T[]): T;
  raw(key: string): Json | undefined;
}

/** @param about what is being read, for the fault: `user alice`. @throws Fault 'corrupt' where it is no object. */
export function readFields(value: Json, about: string): Fields {
  if (!isJsonObject(value)) throw corrupt(about, 'object');
  const read = <T>(key: string, accept: (found: Json | undefined) => found is Json & T): T => {
    const found = value[key];
    if (!accept(found)) throw corrupt(about, key);
    return found;
  };
  const optional = <T>(key: string, accept: (found: Json | undefined) => found is Json & T): T | undefined =>
    value[key] === undefined ? undefined : read(key, accept);
  return {
    text: (key) => read(key, isText),
    optionalText: (key) => optional(key, isText),
    number: (key) => read(key, isNumber),
    optionalNumber: (key) => optional(key, isNumber),
    flag: (key) => read(key, isFlag),
    texts: (key) => read(key, isTexts),
    objects: (key) => read(key, isList).map((entry) => readFields(entry, `${about}, ${key}`)),
    word(key, words) {
      const text = read(key, isText);
      const found = words.find((word) => word === text);
      if (found === undefined) throw corrupt(about, key);
      return found;
    },
    raw: (key) => value[key],
  };
}

function corrupt(about: string, field: string): Fault {
  return new Fault('corrupt', 'stored object has a wrong field', { context: { about, field } });
}

function isText(value: Json | undefined): value is string {
  return typeof value === 'string';
}

function isNumber(value: Json | undefined): value is number {
  return typeof value === 'number';
}

function isFlag(value: Json | undefined): value is boolean {
  return typeof value === 'boolean';
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function isTexts(value: Json | undefined): value is readonly string[] {
  return isList(value) && value.every((entry) => typeof entry === 'string');
}
