/**
 * `Mirroring`: a master pushes to its repositories' copies; a copy takes no push from people, and neither does a server that
 * is no part of a repository's mirroring. What is missing is the other end: no server pushes here.
 */
import { glWarn } from '../gl-log.ts';
import { failuresText, pushToCopy } from '../mirror-push.ts';
import { configOf } from '../options.ts';
import { isTrue } from '../rc-value.ts';
import { askerOf, type Run } from '../run.ts';
import { dies } from '../words.ts';
import type { MirrorQueue } from './mirror-queue.ts';
import type { BuiltInTrigger } from './trigger.ts';

interface Mirror {
  readonly mode: 'local' | 'master' | 'copy' | 'elsewhere';
  /** Server -> how it is kept up to date. */
  readonly copies: ReadonlyMap<string, 'async' | 'sync' | 'nosync'>;
}

/** @param pushes those that run: one queue for all invocations. */
export function mirroringTriggers(pushes: MirrorQueue): readonly BuiltInTrigger[] {
  return [
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
        if (mode !== 'local' && !isTrue(run.rc.values['HUSH_MIRROR_STATUS']))
          await run.warn(await failuresText(run, repository));
        if (attempt !== 'R' && mode === 'copy')
          throw dies(`${here}: pushing '${repository}' to copy '${here}' not allowed`);
      },
    },
    { name: 'Mirroring::post_git', run: (run, { args }) => follow(run, args, pushes) },
  ];
}

/** After a push to a master. A push that fails leaves its status beside the repository, and the log says so. */
async function follow(
  run: Run,
  [repository = '', , attempt = '']: readonly string[],
  pushes: MirrorQueue,
): Promise<void> {
  const here = run.rc.hostname;
  if (here === undefined || attempt === 'R' || askerOf(run) === undefined) return;
  const { mode, copies } = await mirrorOf(run, repository, here);
  if (mode !== 'master') return;
  const { GL_USER: _asker, ...env } = run.env;
  // The client is not kept waiting for an asynchronous copy, and may be gone before it is up to date.
  const alone = { ...run, env, signal: new AbortController().signal, warn: async () => {} };
  for (const [copy, how] of [...copies].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (copy === here) continue;
    if (how === 'nosync') await glWarn(run, `manual mirror push pending for '${copy}'`);
    const pushed =
      how === 'nosync' ? undefined : pushes.push(`${repository} ${copy}`, () => pushToCopy(alone, repository, copy));
    if (how === 'sync') await pushed;
  }
}

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
