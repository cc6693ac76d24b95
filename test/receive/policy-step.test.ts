/** The step that guards the policy repository, with real pushes and a guard of the test's own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPolicyStep, type PolicyGuard } from '../../src/receive/steps/policy-candidate.ts';
import { commitFile, git, gitOk, openSite } from './site.ts';

const CARETS = 'rules/main.lace:3: unknown word\n  alow "all"\n  ^^^^\n';

test('a policy that is wrong is refused with file, line and carets; a right one is in force before the push succeeds', async (t) => {
  const asked: string[] = [];
  const adopted: string[] = [];
  let isWrong = false;
  const guard: PolicyGuard<string> = {
    checkCandidate({ commit, objectDirectory }) {
      asked.push(commit);
      assert.ok(objectDirectory !== undefined);
      return Promise.resolve(
        isWrong
          ? { kind: 'wrong', text: CARETS, reason: 'rules/main.lace:3: unknown word' }
          : { kind: 'ok', candidate: commit, text: '3 scenarios passed\n' },
      );
    },
    adopt(candidate) {
      adopted.push(candidate);
      return Promise.resolve();
    },
  };
  const step = createPolicyStep({
    guard,
    isPolicyRepository: ({ name }) => name === 'r',
    headOf: () => Promise.resolve('refs/heads/main'),
  });
  const site = await openSite(t, { parts: { steps: [step] } });
  const tree = await site.workTree();
  const first = await commitFile(tree, 'rules/main.lace');
  const { stderr: passed } = await git(tree, 'push', site.gitUrl, 'main');
  assert.match(passed, /remote: 3 scenarios passed/);
  assert.deepEqual(adopted, [first]);
  isWrong = true;
  await commitFile(tree, 'rules/main.lace', 'alow "all"');
  const { code, stderr } = await git(tree, 'push', site.gitUrl, 'main');
  assert.notEqual(code, 0);
  assert.match(stderr, /remote: rules\/main\.lace:3: unknown word *\nremote: {3}alow "all" *\nremote: {3}\^\^\^\^/);
  assert.match(stderr, /main \(rules\/main\.lace:3: unknown word\)/);
  assert.equal(await site.refs(), `${first} refs/heads/main`);
  assert.deepEqual(adopted, [first]);
  // A draft on another branch is nobody's business yet.
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:draft');
  assert.equal(asked.length, 2);
});

test('policies are adopted in the order in which their pushes committed, and only those that did', async (t) => {
  const adopted: string[] = [];
  const step = createPolicyStep<string>({
    guard: {
      checkCandidate: ({ commit }) => Promise.resolve({ kind: 'ok', candidate: commit }),
      async adopt(candidate) {
        await new Promise(setImmediate);
        adopted.push(candidate);
      },
    },
    isPolicyRepository: () => true,
    headOf: () => Promise.resolve('refs/heads/main'),
  });
  const site = await openSite(t, { parts: { steps: [step] } });
  const tree = await site.workTree();
  const commits: string[] = [];
  for (let index = 0; index < 4; index += 1) commits.push(await commitFile(tree, `f${index}`));
  const results = await Promise.all(
    commits.map((commit) => git(tree, 'push', '-f', site.gitUrl, `${commit}:refs/heads/main`)),
  );
  const wins = results.filter(({ code }) => code === 0).length;
  assert.equal(adopted.length, wins);
  assert.equal(await site.refs(), `${adopted.at(-1)} refs/heads/main`);
});
