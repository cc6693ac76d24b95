/** CI identities for passes: the keys of issuers, what was exchanged, and the rules in force, put together. */
import { Exchange } from '../access/trust/exchange.ts';
import type { Trusts } from '../access/trust/trusts.ts';
import { systemClock } from '../base/clock.ts';
import type { Directory } from '../identity/directory.ts';
import { KeySets } from '../identity/oidc/key-sets.ts';
import { Replays } from '../identity/oidc/replays.ts';
import type { Ground } from './ground.ts';

export function openExchange(
  { store, journal, log }: Pick<Ground, 'store' | 'journal' | 'log'>,
  { directory, trusts }: { readonly directory: Directory; readonly trusts: Trusts },
): Exchange {
  const clock = systemClock;
  const keySets = new KeySets({ clock, log });
  const replays = new Replays({ store, clock });
  return new Exchange({ trusts, keySets, replays, passes: directory.passes, journal, clock });
}
