/**
 * `Mirroring`: what keeps a mirrored site's repositories in one piece. A copy takes no push, and neither does a server
 * that is no part of a repository's mirroring; nothing is pushed on to copies, and no server pushes here.
 */
import { glWarn } from '../gl-log.ts';
import { configOf } from '../options.ts';
import { askerOf, type Run } from '../run.ts';
import { dies } from '../words.ts';
import type { BuiltInTrigger } from './trigger.ts';

interface Mirror {
  readonly mode: 'local' | 'master' | 'copy' | 'elsewhere';
  /** Server -> how it is kept up to date. */
  readonly copies: ReadonlyMap<string, 'async' | 'sync' | 'nosync'>;
}

export const MIRRORING: readonly BuiltInTrigger[] = [
  {
    name: 'Mirroring::input',
    async run(run, { args: [user = ''] }) {
      if (user.startsWith('server-')) throw dies('mirroring between servers is not taken over from gitolite');
      const command = run.env['SSH_ORIGINAL_COMMAND'] ?? '';
      if (/^USER=\S+ SOC=git-receive-pack '\S+'$/.test(command)) throw dies(`'${user}' is not a valid server name`);
    },
  },
  {
    name: 'Mirroring::pre_git',
    async run(run, { args: [repository = '', , attempt = ''] }) {
      const here = run.rc.hostname;
      if (here === undefined) return;
      const { mode } = await mirrorOf(run, repository, here);
      if (mode === 'elsewhere') throw dies(`${here}: '${repository}' is mirrored but not here`);
      if (attempt !== 'R' && mode === 'copy')
        throw dies(`${here}: pushing '${repository}' to copy '${here}' not allowed`);
    },
  },
  {
    name: 'Mirroring::post_git',
    async run(run, { args: [repository = '', , attempt = ''] }) {
      const here = run.rc.hostname;
      if (here === undefined || attempt === 'R' || askerOf(run) === undefined) return;
      const { mode, copies } = await mirrorOf(run, repository, here);
      if (mode !== 'master') return;
      for (const copy of copies.keys())
        if (copy !== here) await glWarn(run, `manual mirror push pending for '${copy}'`);
    },
  },
];

async function mirrorOf(run: Run, repository: string, here: string): Promise<Mirror> {
  const config = await configOf(run, repository);
  const copies = new Map<string, 'async' | 'sync' | 'nosync'>();
  for (const how of ['', '.sync', '.nosync'] as const) {
    const kind = how === '.sync' ? 'sync' : how === '.nosync' ? 'nosync' : 'async';
    for (const [key, value] of config) {
      if (!key.startsWith(`gitolite-options.mirror.copies${how}`)) continue;
      for (const name of value.split(/\s+/)) if (name !== '') copies.set(name, kind);
    }
  }
  const master = config.get('gitolite-options.mirror.master') ?? '';
  if (master === here) return { mode: 'master', copies };
  if (copies.has(here)) return { mode: 'copy', copies };
  return { mode: master === '' && copies.size === 0 ? 'local' : 'elsewhere', copies };
}
