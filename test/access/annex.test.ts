/** Files beside the rules: compiled with them, refused with them, in force with them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileAnnexes, type PolicyAnnex } from '../../src/access/annex.ts';
import { checkPolicy, checkReason, checkText } from '../../src/access/check.ts';
import { isPolicyPath, type PolicySources } from '../../src/access/compile.ts';
import { PolicyHolder } from '../../src/access/holder.ts';
import { fileProblem } from '../../src/access/problem.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { Stored, Transaction } from '../../src/store/store.ts';

/** Says what is in force; a file with `wrong` in it is wrong, one with `crash` makes it throw. */
function makeAnnex(folder: string): PolicyAnnex & { readonly inForce: string[] } {
  const inForce: string[] = [];
  return {
    name: folder,
    inForce,
    owns: (path) => path.startsWith(`${folder}/`),
    compile(sources) {
      for (const [path, text] of sources) {
        if (text === 'crash') throw new TypeError('hole');
        if (text === 'wrong') return { kind: 'wrong', problems: [fileProblem(path, 'the key x is wrong')] };
      }
      const adopt = (): void => void inForce.splice(0, inForce.length, ...sources.values());
      return { kind: 'ok', adopt, warnings: [] };
    },
  };
}

const RULES = ['rules/main.lace', 'default deny'] as const;

function filesWith(...more: readonly (readonly [string, string])[]): PolicySources {
  return new Map([RULES, ...more]);
}

test('TOML files of the three folders belong to the policy, deeper ones and others do not', () => {
  for (const path of ['oidc/ci.toml', 'secrets/site.toml', 'checks/a.toml'])
    assert.equal(isPolicyPath(path), true, path);
  for (const path of ['oidc/a/b.toml', 'oidc/ci.json', 'other/x.toml', 'x/oidc/ci.toml', 'oidc/.toml/x'])
    assert.equal(isPolicyPath(path), false, path);
});

test('an annex sees its own files and no others', () => {
  const annex = makeAnnex('oidc');
  compileAnnexes([annex], filesWith(['oidc/a.toml', 'one'], ['checks/a.toml', 'two'])).adopt?.();
  assert.deepEqual(annex.inForce, ['one']);
});

test('a wrong annex refuses the policy with its file, and leaves the annexes before it as they were', () => {
  const [first, second] = [makeAnnex('oidc'), makeAnnex('checks')];
  const check = checkPolicy(filesWith(['oidc/a.toml', 'one'], ['checks/a.toml', 'wrong']), [first, second]);
  assert.equal(check.policy, undefined);
  assert.equal(check.adoptAnnexes, undefined);
  assert.equal(checkReason(check), 'checks/a.toml: the key x is wrong');
  assert.match(checkText(check), /policy refused/);
  assert.deepEqual(first.inForce, []);
});

test('what is wrong with rules and with annexes is told together', () => {
  const check = checkPolicy(
    new Map([
      ['rules/main.lace', 'default'],
      ['oidc/a.toml', 'wrong'],
    ]),
    [makeAnnex('oidc')],
  );
  assert.equal(check.problems.length, 2);
});

test('an annex that throws is a wrong one', () => {
  const { adopt, problems } = compileAnnexes([makeAnnex('oidc')], filesWith(['oidc/a.toml', 'crash']));
  assert.equal(adopt, undefined);
  assert.match(problems[0]?.message ?? '', /could not be read \(TypeError\)/);
});

test('annexes are in force with the policy, after a restart from the last good one too', async () => {
  const values = new Map<string, Stored>();
  const store = {
    get: (kind: string, key: string) => Promise.resolve(values.get(`${kind}/${key}`)),
    transact({ writes }: Transaction) {
      for (const write of writes)
        if ('put' in write)
          values.set(`${write.kind}/${write.key}`, { kind: write.kind, key: write.key, version: 1, value: write.put });
      return Promise.resolve({ kind: 'committed' as const, version: 1 });
    },
  };
  const holderWith = (annex: PolicyAnnex): PolicyHolder => {
    const processes = { start: () => Promise.reject(new Error('no git here')) };
    const log = { info: () => {}, error: () => {} };
    return new PolicyHolder({ store, processes, log, clock: systemClock, annexes: [annex] });
  };
  const annex = makeAnnex('oidc');
  const holder = holderWith(annex);
  const sources = filesWith(['oidc/a.toml', 'one']);
  const { policy, adoptAnnexes } = checkPolicy(sources, [annex]);
  assert.ok(policy !== undefined && adoptAnnexes !== undefined);
  const before = holder.revision;
  await holder.adopt({ oid: 'a'.repeat(40), sources, policy, adoptAnnexes });
  assert.deepEqual(annex.inForce, ['one']);
  assert.equal(holder.revision, before + 1);

  const later = makeAnnex('oidc');
  assert.equal((await holderWith(later).load({ path: '/nowhere' })).source, 'last-good');
  assert.deepEqual(later.inForce, ['one']);

  values.clear();
  const closed = makeAnnex('oidc');
  closed.inForce.push('left over');
  assert.equal((await holderWith(closed).load({ path: '/nowhere' })).source, 'closed');
  assert.deepEqual(closed.inForce, []);
});
