/** One after another: changes of a file of the site that read it first. */
import { Turns } from '../repository/turns.ts';
import type { Run } from './run.ts';
import type { Site } from './site.ts';

const TURNS = new WeakMap<Site, Turns>();

/** @param path what is changed: those who name the same wait for each other. */
export function inTurn<T>({ site }: Run, path: string, task: () => Promise<T>): Promise<T> {
  const turns = TURNS.get(site) ?? new Turns();
  TURNS.set(site, turns);
  return turns.run(path, task);
}
