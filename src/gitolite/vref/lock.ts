/** `VREF/lock`: files that somebody else locked (command `lock`) stay as they are. */
import { namesBetween } from './history.ts';
import type { Vref } from './vref.ts';
import { readLocks } from '../locks.ts';

export const LOCK: Vref = async ({ refex, user, oldTree, newTree, place }) => {
  const { locks } = await readLocks(place.gitDir);
  if (locks.size === 0) return {};
  for (const name of await namesBetween(place, oldTree, newTree)) {
    const holder = locks.get(name)?.user;
    if (holder !== undefined && holder !== user) return { output: `${refex} '${name}' locked by '${holder}'` };
  }
  return {};
};
