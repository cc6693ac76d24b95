/**
 * Lives the lives of repositories, several at once, without end, until it is killed. Each finished step is a line on
 * standard output. Started by `recovery.test.ts` with the data directory and a round number.
 */
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { startGitProcesses } from '../../src/git/spawner.ts';
import { Catalogue } from '../../src/repository/catalogue.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { commit, must, named } from './fixture.ts';

const [data = '', round = ''] = process.argv.slice(2);
const store = await openSqliteStore({ path: join(data, 'gatehouse.db') });
const processes = await startGitProcesses({ isolation: 'off' });
const catalogue = new Catalogue({ store, processes, root: join(data, 'repositories'), clock: systemClock });

function done(step: string): void {
  process.stdout.write(`${step}\n`);
}

async function live(lane: number): Promise<never> {
  for (let turn = 0; ; turn += 1) {
    const name = `round${round}/lane${lane}/${turn}`;
    const made = must(await catalogue.create({ name: named(name), owner: 'alice' }));
    done('create');
    await commit(made.path, 'refs/heads/main', name);
    const renamed = must(await catalogue.rename(made, named(`${name}-renamed`)));
    done('rename');
    must(await catalogue.setSetting(renamed, 'default-branch', 'trunk'));
    done('head');
    must(await catalogue.copy(renamed, { to: named(`${name}-copy`), owner: 'bob' }));
    done('copy');
    must(await catalogue.destroy(renamed));
    done('destroy');
    if (turn % 2 === 0) {
      must(await catalogue.restore(made.id, named(`${name}-back`)));
      done('restore');
    } else if (turn % 3 === 0) {
      must(await catalogue.purge(made.id));
      done('purge');
    }
  }
}

await Promise.all([1, 2, 3].map(live));
