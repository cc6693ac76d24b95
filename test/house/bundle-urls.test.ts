/** Clients hear of a bundle only where they can reach it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundleUrls } from '../../src/house/bundle-urls.ts';
import type { Repository } from '../../src/repository/repository.ts';

const lab = { name: 'team/lab' } as Repository;

test('over HTTP a bundle is below the repository; elsewhere it is where the site says, or nowhere', () => {
  const unknown = bundleUrls({ httpUrl: '' });
  assert.equal(unknown('http', lab), 'clone.bundle');
  for (const transport of ['ssh', 'git', 'local'] as const) assert.equal(unknown(transport, lab), undefined);
  const known = bundleUrls({ httpUrl: 'https://git.example/' });
  assert.equal(known('http', lab), 'clone.bundle');
  assert.equal(known('ssh', lab), 'https://git.example/team/lab.git/clone.bundle');
  assert.equal(known('git', lab), 'https://git.example/team/lab.git/clone.bundle');
  assert.equal(known('local', lab), undefined);
});
