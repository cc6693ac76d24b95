/** The README's first five minutes, run as written (but for the ports, which the system chooses here). */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makePerson, splitAddress, startGate } from '../support/gate.ts';
import { cleanEnvironment, run, workspace } from '../support/workspace.ts';

const root = join(import.meta.dirname, '../..');

function shellBlocks(readme: string): readonly string[] {
  const section = readme.slice(readme.indexOf('## The first five minutes'), readme.indexOf('## Where to go next'));
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
}

test("the README's first five minutes work as printed", { timeout: 120_000 }, async (t) => {
  const place = workspace(t, 'gatehouse-readme-');
  const newcomer = await makePerson(place, 'newcomer');
  mkdirSync(join(place, 'checkout', 'bin'), { recursive: true });
  symlinkSync(join(root, 'bin/gatehouse'), join(place, 'checkout/bin/gatehouse'));
  const data = join(place, 'checkout', 'data');
  const gate = await startGate(t, { data, home: newcomer.home });
  const blocks = shellBlocks(readFileSync(join(root, 'README.md'), 'utf8'));
  assert.ok(blocks.length >= 7, 'the blocks were found');
  const script = ['set -eu', ...blocks]
    .join('\n')
    .replaceAll('2222', splitAddress(gate.ssh).port)
    .replaceAll('8080', splitAddress(gate.http).port)
    .replaceAll('9418', splitAddress(gate.git).port);
  const ended = await run('sh', ['-c', script], { cwd: join(place, 'checkout'), env: cleanEnvironment(newcomer.home) });
  assert.equal(ended.code, 0, ended.stdout + ended.stderr);
  assert.match(ended.stderr, /\[remote rejected\] HEAD -> main \(rules\/[a-z-]+\.lace:\d+: .*refs\/heads\/gabriella\//);
  assert.match(ended.stdout, /refused, and the reason above names the rule/);
  assert.match(ended.stdout, /rules\/[a-z-]+\.lace:\d+/, 'explain shows rules with file and line');
  const clones = await run('ls', ['demo/over-git/.git/HEAD', 'demo/over-http/.git/HEAD'], {
    cwd: join(place, 'checkout'),
  });
  assert.equal(clones.code, 0, clones.stderr);
  assert.equal(await gate.stop(), 0);
});
