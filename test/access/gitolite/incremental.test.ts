import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileConf, type CompiledConf } from '../../../src/access/gitolite/compile-conf.ts';
import type { ConfChange } from '../../../src/access/gitolite/conf-change.ts';
import { DEFAULT_SETTINGS, type ConfSettings } from '../../../src/access/gitolite/conf-settings.ts';
import { Meter } from '../../../src/access/meter.ts';
import { ATTEMPTS, randomSite, REFS, REPOSITORIES, SITE, USERS } from '../../compare/gitolite-confs.ts';
import { Chance } from '../../compare/random.ts';
import { conf, there } from './site.ts';

const SEEDS = 20;
const EDITS = 10;
const QUESTIONS = 60;

const NAMES: readonly [string, ...string[]] = ['foo', ...REPOSITORIES];

const SETTINGS: ConfSettings = {
  ...DEFAULT_SETTINGS,
  hostname: SITE.hostname,
  configKeys: SITE.configKeys,
  safeConfig: SITE.safeConfig,
  roles: new Set(SITE.roles),
};

type Files = ReadonlyMap<string, string>;

test('a conf compiled behind another one is what it is when compiled alone, whatever was edited', () => {
  let taken = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const chance = new Chance(seed);
    const settings = { ...SETTINGS, sugar: chance.is(30) ? SITE.sugar : [] };
    let { files }: { files: Files } = randomSite(seed);
    let previous: CompiledConf | undefined;
    for (let edit = 0; edit < EDITS; edit += 1) {
      const about = `seed ${seed}, edit ${edit}`;
      const fresh = compileConf({ files, settings });
      const behind = compileConf({ files, settings, previous });
      assert.equal(behind.kind, fresh.kind, about);
      assert.deepEqual(behind.warnings, fresh.warnings, about);
      if (behind.kind === 'wrong') {
        assert.ok(fresh.kind === 'wrong');
        assert.deepEqual(behind.problems, fresh.problems, about);
      } else if (fresh.kind === 'ok') {
        assert.deepEqual(behind.compiled.conf, fresh.compiled.conf, about);
        assert.deepEqual([...behind.compiled.conf.stanzas.keys()], [...fresh.compiled.conf.stanzas.keys()], about);
        assertSameAnswers(behind.compiled, fresh.compiled, { chance, about });
        if (previous !== undefined) {
          taken += 1;
          assertChanged(previous, behind.compiled, behind.changed, about);
        }
        previous = behind.compiled;
      }
      files = edited(files, chance);
    }
  }
  assert.ok(taken > SEEDS, `${taken} confs were compiled behind another one`);
});

function assertSameAnswers(
  a: CompiledConf,
  b: CompiledConf,
  { chance, about }: { readonly chance: Chance; readonly about: string },
): void {
  for (let i = 0; i < QUESTIONS; i += 1) {
    const user = { name: chance.one(USERS) };
    const repository = there(chance.one(NAMES), { exists: chance.is(70), creator: chance.one(['', ...USERS]) });
    const question = { repository, user, attempt: chance.one(ATTEMPTS), ref: chance.one(REFS) };
    const [one, other] = [a.access.accessCommand(question), b.access.accessCommand(question)];
    assert.equal(one.text, other.text, about);
    if (one.kind !== 'fatal' && other.kind !== 'fatal') assert.deepEqual(one.steps, other.steps, about);
    assert.deepEqual(a.access.config(repository), b.access.config(repository), about);
    assert.deepEqual(
      a.index.repositoryMemberships(repository, new Meter()),
      b.index.repositoryMemberships(repository, new Meter()),
    );
  }
}

/** What is not said to have changed did not. */
function assertChanged(before: CompiledConf, after: CompiledConf, changed: ConfChange, about: string): void {
  const { repositories } = changed;
  if (repositories === 'all') return;
  for (const name of REPOSITORIES.filter((one) => !one.startsWith('@') && !repositories.has(one))) {
    const repository = there(name);
    assert.deepEqual(after.access.config(repository), before.access.config(repository), `${about}: ${name}`);
    for (const user of USERS)
      for (const attempt of ['R', 'W', '+'] as const)
        for (const ref of ['any', 'master', 'dev/u1/x'])
          assert.equal(
            after.access.accessCommand({ repository, user: { name: user }, attempt, ref }).text,
            before.access.accessCommand({ repository, user: { name: user }, attempt, ref }).text,
            `${about}: ${name} ${user} ${attempt} ${ref}`,
          );
  }
}

/** One to three lines put elsewhere, doubled, left out, or changed, in any of the files. */
function edited(files: Files, chance: Chance): Files {
  const names = [...files.keys()];
  const name = names[chance.int(names.length)] ?? 'gitolite.conf';
  const lines = (files.get(name) ?? '').split('\n');
  for (let i = 0; i <= chance.int(3); i += 1) {
    const at = chance.int(lines.length);
    const line = lines[at] ?? '';
    const to = chance.int(lines.length + 1);
    const kind = chance.int(8);
    if (kind === 0) lines.splice(at, 1);
    else if (kind === 1) lines.splice(to, 0, line);
    else if (kind === 2) lines.splice(to, 0, ...lines.splice(at, 1));
    else if (kind === 3) lines.splice(to, 0, `repo ${chance.one(NAMES)}`, `  RW = ${chance.one(USERS)}`);
    else if (kind === 4) lines.splice(to, 0, chance.one(['', '# note', '=begin testconf', '=end', 'repo wild/..*']));
    else if (kind === 5)
      lines.splice(to, 0, `@${chance.one(['g1', 'g2', 'r1', 'refs'])} = ${chance.one(USERS)} foo dev/`);
    else
      lines[at] = line
        .replace(chance.one(USERS), () => chance.one(USERS))
        .replace('RW', () => chance.one(['R', 'RW+', '-']));
  }
  return new Map([...files, [name, lines.join('\n')]]);
}

test('one changed line takes the rest over and names the repository', () => {
  const text = (rule: string): string => `@a = ann\nrepo one\n  RW = @a\nrepo two\n  ${rule}\nrepo three\n  R = bob\n`;
  const first = conf(text('RW = ann'));
  const result = compileConf({ files: filesOf(text('RW+ = ann')), settings: DEFAULT_SETTINGS, previous: first });
  assert.ok(result.kind === 'ok');
  assert.deepEqual(result.changed, { repositories: new Set(['two']), users: new Set() });
  const stanza = (compiled: CompiledConf, name: string) => compiled.conf.stanzas.get(name)?.[0];
  assert.equal(stanza(result.compiled, 'three'), stanza(first, 'three'));
  assert.notEqual(stanza(result.compiled, 'two'), stanza(first, 'two'));
});

test('another member of a group changes the repositories whose rules name the group', () => {
  const text = (members: string): string =>
    `@a = ${members}\n@r = four\nrepo one\n  RW = @a\nrepo two\n  RW = ann\nrepo @r\n  R = @a\n`;
  const changed = (before: string, after: string) => {
    const result = compileConf({ files: filesOf(after), settings: DEFAULT_SETTINGS, previous: conf(before) });
    return result.kind === 'ok' ? result.changed : undefined;
  };
  const plain = (members: string): string => text(members).replace('repo @r', 'repo four');
  assert.deepEqual(changed(plain('ann'), plain('ann bob')), {
    repositories: new Set(['one', 'four']),
    users: new Set(['bob']),
  });
  // A repository may be in @r by a file of its own.
  assert.deepEqual(changed(text('ann'), text('ann bob')), { repositories: 'all', users: new Set(['bob']) });
  assert.deepEqual(changed(text('ann'), text('ann').replace('= four', '= four five')), {
    repositories: new Set(['five']),
    users: new Set(['five']),
  });
  assert.equal(changed(text('ann'), `${text('ann')}repo x.*\n  R = bob\n`)?.repositories, 'all');
});

test('the order of what stays counts as a change', () => {
  const [one, two] = ['repo a.*\n  - master = ann\n', 'repo ab\n  RW = ann\n'];
  const result = compileConf({ files: filesOf(two + one), settings: DEFAULT_SETTINGS, previous: conf(one + two) });
  assert.ok(result.kind === 'ok');
  assert.equal(result.changed.repositories, 'all');
});

test('other settings take nothing over', () => {
  const files = filesOf('repo one\n  RW = ann\n');
  const first = compileConf({ files, settings: DEFAULT_SETTINGS });
  assert.ok(first.kind === 'ok');
  const again = compileConf({ files, settings: DEFAULT_SETTINGS, previous: first.compiled });
  assert.deepEqual(again.kind === 'ok' && again.changed, { repositories: new Set(), users: new Set() });
  const other = compileConf({
    files,
    settings: { ...DEFAULT_SETTINGS, roles: new Set(['X']) },
    previous: first.compiled,
  });
  assert.deepEqual(other.kind === 'ok' && other.changed, { repositories: 'all', users: 'all' });
});

function filesOf(text: string): Files {
  return new Map([['gitolite.conf', text]]);
}

test('what a block takes from groups before it is looked at again', () => {
  const rules = 'repo one\n  RW @refs = ann\nrepo two\n  R = @people\n';
  const first = conf(`@refs = master\n@people = ann\n${rules}`);
  for (const groups of ['@refs = dev\n@people = ann\n', '@refs = master dev\n@people = ann\n', '@refs = master\n']) {
    const files = filesOf(groups + rules);
    const fresh = compileConf({ files, settings: DEFAULT_SETTINGS });
    const behind = compileConf({ files, settings: DEFAULT_SETTINGS, previous: first });
    assert.ok(fresh.kind === 'ok' && behind.kind === 'ok');
    assert.deepEqual(behind.compiled.conf, fresh.compiled.conf);
    assert.deepEqual(behind.warnings, fresh.warnings);
  }
});
