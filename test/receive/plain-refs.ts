/** Refs asked of git each time: what the ref cache is held against, and slow enough never to be stale. */
import { execFileSync } from 'node:child_process';
import { parseOid, type ObjectFormat } from '../../src/git/oid.ts';
import type { RefEntry, RefSnapshot } from '../../src/git/ref-cache.ts';
import { parseRefname } from '../../src/git/refname.ts';

export const plainRefs = {
  snapshot(repository: { readonly path: string; readonly objectFormat: ObjectFormat }): Promise<RefSnapshot> {
    const git = (...args: readonly string[]): string =>
      execFileSync('git', [`--git-dir=${repository.path}`, ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    const refs: RefEntry[] = [];
    for (const line of git('for-each-ref', '--format=%(objectname) %(refname) %(symref)').split('\n')) {
      const [hex = '', name = '', symref = ''] = line.split(' ');
      const oid = parseOid(hex, repository.objectFormat);
      const refname = parseRefname(name);
      const to = parseRefname(symref);
      if (oid !== undefined && refname !== undefined)
        refs.push({ refname, oid, ...(to === undefined ? {} : { symref: to }) });
    }
    const target = parseRefname(git('symbolic-ref', 'HEAD').trim());
    return Promise.resolve({
      head: { ...(target === undefined ? {} : { target }) },
      refs,
      byName: new Map(refs.map((entry) => [entry.refname, entry])),
      fingerprint: '',
      memo: new Map(),
    });
  },
  forget(): void {},
};
