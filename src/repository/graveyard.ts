/** Destroyed repositories: out of reach, whole, until they are restored or purged. */
import { refuse, type Parsed } from '../base/fault.ts';
import { moveIntoDurably } from '../base/durable.ts';
import type { ListOptions, Write } from '../store/store.ts';
import { attempt } from './attempt.ts';
import type { Ground } from './ground.ts';
import { isPresent } from './layout.ts';
import { ADMIN_REPOSITORY, commitNew, idTurn, nameTurn } from './lifecycle.ts';
import { foldName, type RepositoryName } from './name.ts';
import { ownerKey } from './ownership.ts';
import { readBuried, readRegistered, writeBuried, type Buried, type Registered } from './record.ts';
import { marked } from './settle.ts';

/** The transaction takes the name away; then the directory moves, so that what still runs on it ends, too. */
export function destroy(
  ground: Ground,
  options: { readonly id: string; readonly by?: string; readonly version?: number },
): Promise<Parsed<Buried>> {
  const { id, by, version } = options;
  return ground.turns.run(idTurn(id), () =>
    marked(ground, { id, why: 'destroy' }, () =>
      attempt<Buried>(ground.store, async () => {
        const stored = await ground.store.get('repository', id);
        if (stored === undefined) return refuse('the repository was destroyed meanwhile');
        const record = readRegistered(stored);
        if (record.name === ADMIN_REPOSITORY) return refuse(`${ADMIN_REPOSITORY} holds the site's policy: it stays`);
        if (version !== undefined && version !== record.version) return refuse(`${record.name} changed meanwhile`);
        const buried = { ...record, destroyedAt: ground.clock.now(), ...(by === undefined ? {} : { destroyedBy: by }) };
        const checks = [{ kind: 'repository', key: id, version: record.version } as const];
        const writes: readonly Write[] = [
          { kind: 'repository', key: id, delete: true },
          { kind: 'repository-name', key: record.name, delete: true },
          { kind: 'repository-fold', key: foldName(record.name), delete: true },
          { kind: 'graveyard', key: id, put: writeBuried(buried) },
        ];
        return { kind: 'write', transaction: { checks, writes }, value: (now) => ({ ...buried, version: now }) };
      }),
    ),
  );
}

/** A page in the order of ids. */
export async function listBuried(ground: Ground, options: ListOptions = {}): Promise<readonly Buried[]> {
  return (await ground.store.list('graveyard', options)).map(readBuried);
}

/** Under its old name, or another; refused where that is taken. */
export function restore(
  ground: Ground,
  options: { readonly id: string; readonly name?: RepositoryName; readonly owner?: string },
): Promise<Parsed<Registered>> {
  const { id } = options;
  return ground.turns.run(idTurn(id), async () => {
    const stored = await ground.store.get('graveyard', id);
    if (stored === undefined) return refuse('there is no such repository in the graveyard');
    const { destroyedAt: _, destroyedBy: __, ...buried } = readBuried(stored);
    const record = { ...buried, name: options.name ?? buried.name, owner: options.owner ?? buried.owner };
    return ground.turns.run(nameTurn(record.name), () =>
      marked(ground, { id, why: 'restore' }, async () => {
        const [grave, home] = [ground.layout.grave(id), ground.layout.home(id)];
        if (await isPresent(grave)) {
          // Into place first: whoever finds the name finds the repository. Where the name is taken, settling moves it back.
          await ground.layout.prepareParent(home);
          await moveIntoDurably(grave, home);
        }
        if (!(await isPresent(home))) return refuse('its directory is no longer there');
        const writes: Write[] = [{ kind: 'graveyard', key: id, delete: true }];
        if (buried.owner !== record.owner) {
          writes.push({ kind: 'repository-owner', key: ownerKey(buried.owner, id), delete: true });
        }
        return commitNew(ground, record, { checks: [{ kind: 'graveyard', key: id, version: stored.version }], writes });
      }),
    );
  });
}

/** For ever. */
export function purge(ground: Ground, id: string): Promise<Parsed<Buried>> {
  return ground.turns.run(idTurn(id), async () => {
    if ((await ground.store.get('graveyard', id)) === undefined) {
      return refuse('there is no such repository in the graveyard');
    }
    return marked(ground, { id, why: 'purge' }, () =>
      attempt<Buried>(ground.store, async () => {
        const stored = await ground.store.get('graveyard', id);
        if (stored === undefined) return refuse('there is no such repository in the graveyard');
        const buried = readBuried(stored);
        const checks = [{ kind: 'graveyard', key: id, version: stored.version } as const];
        const writes: readonly Write[] = [
          { kind: 'graveyard', key: id, delete: true },
          { kind: 'repository-owner', key: ownerKey(buried.owner, id), delete: true },
          { kind: 'repository-rules', key: id, delete: true },
          { kind: 'repository-state', key: id, delete: true },
          { kind: 'pending', key: id, delete: true },
        ];
        return { kind: 'write', transaction: { checks, writes }, value: () => buried };
      }),
    );
  });
}
