/** What the first commit holds, as git itself reads it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packFirstCommit } from '../../src/house/first-commit.ts';
import { cleanEnvironment, expectRun, workspace } from '../support/workspace.ts';

const FILES = new Map([
  ['rules/main.lace', 'rule\n'],
  ['rules-of/a.lace', 'rule\n'],
  ['rules/.a', 'é'.repeat(10_000)],
  ['scenarios/empty.yarn', ''],
]);

for (const objectFormat of ['sha1', 'sha256'] as const) {
  test(`git reads the pack of the first commit: ${objectFormat}`, async (t) => {
    const home = workspace(t);
    const git = (args: readonly string[], stdin: string | Buffer = ''): Promise<string> =>
      expectRun('git', args, { cwd: home, env: cleanEnvironment(home), stdin });
    await git(['init', '-q', '--bare', `--object-format=${objectFormat}`, '.']);
    const { pack, commit } = packFirstCommit({ objectFormat, files: FILES, message: 'Start\n', at: 1_700_000_000 });
    await git(['index-pack', '--stdin', '--strict'], pack);
    await git(['fsck', '--strict', '--no-dangling']);
    const listed = await git(['ls-tree', '-r', '--name-only', commit]);
    assert.deepEqual(listed.split('\n').toSorted(), [...FILES.keys()].toSorted());
    for (const [path, text] of FILES)
      assert.equal(await git(['cat-file', 'blob', `${commit}:${path}`]), text.trimEnd());
    const who = 'Gatehouse <gatehouse@localhost> 1700000000';
    assert.equal(await git(['log', '--format=%an <%ae> %at%n%cn <%ce> %ct%n%B', commit]), `${who}\n${who}\nStart\n`);
  });
}
