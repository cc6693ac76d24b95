/** The commands of docs/gitolite-site.md, run as written by the account of a site that the real gitolite made. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { realPrograms } from '../support/account.ts';
import { GitoliteSite } from '../support/gitolite-site.ts';
import { run } from '../support/workspace.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const real = realPrograms();

test(
  'the commands of docs/gitolite-site.md work as printed',
  { timeout: 300_000, skip: real === undefined ? 'gitolite is not installed' : false },
  async (t) => {
    assert.ok(real);
    const site = new GitoliteSite(t, real, 13);
    assert.equal((await site.gitolite(['setup', '-a', 'admin'])).code, 0);
    const text = readFileSync(join(ROOT, 'docs/gitolite-site.md'), 'utf8');
    const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
    assert.ok(blocks.length >= 4, 'the blocks were found');
    const env = { ...site.env, PATH: `${join(ROOT, 'bin')}:${process.env['PATH']}` };
    const ended = await run('sh', ['-c', ['set -eu', ...blocks].join('\n')], {
      cwd: site.home,
      env,
      deadlineMs: 280_000,
    });
    assert.equal(ended.code, 0, ended.stdout + ended.stderr);
    assert.match(ended.stdout, /No difference\./);
    assert.match(ended.stdout, /^gitolite-admin\ntesting\nrefs\/\.\*\n/m);
    assert.match(ended.stdout, /gitolite trigger POST_COMPILE: done/);
  },
);
