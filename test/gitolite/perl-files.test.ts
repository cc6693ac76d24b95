/** What programs written against gitolite's Perl modules read: the same as the real gitolite writes. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { compileConf, type CompiledConf } from '../../src/access/gitolite/compile-conf.ts';
import { DEFAULT_SETTINGS } from '../../src/access/gitolite/conf-settings.ts';
import { commonText, PerlFiles, repositoryText } from '../../src/gitolite/perl-files.ts';
import { newGround, type Ground } from './ground.ts';
import { newTwins, NO_GITOLITE } from './twins.ts';

const CONF = `
@g = foo bar w/..*
@h = @g u1 7
repo gitolite-admin
  RW+ = admin
repo testing
  RW+ = @all
repo foo @g w/..*
  RW+ master dev = u1 @h 7
  - VREF/NAME/a.b\\d = u2
  config gitweb.owner = "it's"
  option deny-rules = 1
  config gitweb.none =
  config gitweb.strange = "ünï \\ x"
repo @all
  R = daemon
repo only/conf
  option long = 1234567890123
repo foo
  RW early = u1
`;

test('compiled files are what the real gitolite writes', { skip: NO_GITOLITE }, async () => {
  await using twins = await newTwins({ conf: CONF, settings: "$RC{GIT_CONFIG_KEYS} = '.*';" });
  const { conf } = compiled();
  const named = ['foo', 'only/conf', 'gitolite-admin', 'testing'];
  for (const name of named) {
    const real = await readFile(join(twins.realHome, `repositories/${name}.git/gl-conf`), 'utf8');
    assert.equal(ranked(repositoryText(conf, name)), ranked(real), name);
  }
  const real = await readFile(join(twins.realHome, '.gitolite/conf/gitolite.conf-compiled.pm'), 'utf8');
  const own = commonText(conf, new Map(named.map((name) => [name, 1])));
  assert.equal(inOrder(ranked(own)), inOrder(ranked(real)));
});

test(
  'what a compile writes has the permissions of the umask in force, also over files of an older one',
  { skip: NO_GITOLITE },
  async () => {
    await using twins = await newTwins({ conf: CONF, settings: "$RC{GIT_CONFIG_KEYS} = '.*';" });
    const settings = '$UNSAFE_PATT = qr([`~#]); $RC{UMASK} = 0027;\n1;\n';
    for (const home of [twins.ours.home, twins.realHome]) {
      await appendFile(join(home, '.gitolite.rc'), settings);
      await appendFile(join(home, '.gitolite/conf/gitolite.conf'), '  config foo.pipe = a | b & c\n');
    }
    await twins.same(['compile']);
    await twins.same(['git-config', 'foo', 'foo.pipe']);
    const written = ['conf/gitolite.conf-compiled.pm', 'conf/rule_info'].map((name) => join('.gitolite', name));
    for (const path of [...written, 'repositories/foo.git/gl-conf', 'repositories/testing.git/gl-conf']) {
      const [own, real] = [twins.ours.home, twins.realHome].map((home) => statSync(join(home, path)).mode);
      assert.equal(own?.toString(8), real?.toString(8), path);
    }
  },
);

test('only files that a conf changes are looked at, and all after a start', async () => {
  await using site = await newGround();
  await mkdir(join(site.home, '.gitolite/conf'), { recursive: true });
  const { rc } = (await site.newRun()).run;
  const files = new PerlFiles();
  const before = compiled('repo one\n R = ann\nrepo two\n R = ann\nrepo three\n R = ann\n');
  for (const name of ['one', 'two']) await mkdir(folderOf(site, name), { recursive: true });
  await files.write(rc, before);
  assert.equal(await heldBy(site, 'one'), repositoryText(before.conf, 'one'));
  for (const name of ['one', 'two']) await writeFile(join(folderOf(site, name), 'gl-conf'), 'somebody');
  await mkdir(folderOf(site, 'three'));

  const after = compiled('repo one\n R = ann\nrepo two\n R = bob\nrepo three\n R = ann\n', before);
  await files.write(rc, after);
  assert.equal(await heldBy(site, 'one'), 'somebody');
  assert.equal(await heldBy(site, 'two'), repositoryText(after.conf, 'two'));
  assert.equal(await heldBy(site, 'three'), repositoryText(after.conf, 'three'));

  await new PerlFiles().write(rc, after);
  assert.equal(await heldBy(site, 'one'), repositoryText(after.conf, 'one'));
});

test('rules that only moved get their new numbers', async () => {
  await using site = await newGround();
  await mkdir(join(site.home, '.gitolite/conf'), { recursive: true });
  const { rc } = (await site.newRun()).run;
  const files = new PerlFiles();
  const before = compiled('repo one\n R = ann\nrepo two\n R = ann\n');
  for (const name of ['one', 'two', 'new']) await mkdir(folderOf(site, name), { recursive: true });
  await files.write(rc, before);
  const after = compiled('repo new\n R = ann\nrepo one\n R = ann\nrepo two\n R = ann\n', before);
  await files.write(rc, after);
  for (const name of ['one', 'two', 'new']) assert.equal(await heldBy(site, name), repositoryText(after.conf, name));
  assert.notEqual(repositoryText(before.conf, 'two'), repositoryText(after.conf, 'two'));
});

test('what a newer conf cut off is written with it, new repositories among them', async () => {
  await using site = await newGround();
  await mkdir(join(site.home, '.gitolite/conf'), { recursive: true });
  const { rc } = (await site.newRun()).run;
  const files = new PerlFiles();
  const names = Array.from({ length: 1_100 }, (_none, i) => `r${i}`);
  const confOf = (user: string): string => names.map((name) => `repo ${name}\n R = ${user}\n`).join('');
  for (const name of names) await mkdir(folderOf(site, name), { recursive: true });
  const first = compiled(confOf('ann'));
  const second = compiled(`${confOf('ann')}repo r0\n RW = bob\nrepo new\n R = bob\n`, first);
  // Nobody waits for the files of so many.
  await files.write(rc, first);
  await mkdir(folderOf(site, 'new'));
  await writeFile(join(folderOf(site, 'new'), 'gl-conf'), files.newText(rc, second.conf, 'new'));
  files.noteWritten(second.conf, 'new');
  await files.write(rc, second);
  await files.writtenOut();
  for (const name of [...names, 'new']) assert.equal(await heldBy(site, name), repositoryText(second.conf, name));
  const common = await readFile(join(site.home, '.gitolite/conf/gitolite.conf-compiled.pm'), 'utf8');
  assert.equal(common, commonText(second.conf, new Map([...names, 'new'].map((name) => [name, 1]))));
});

function folderOf(site: Ground, name: string): string {
  return join(site.home, 'repositories', `${name}.git`);
}

function heldBy(site: Ground, name: string): Promise<string> {
  return readFile(join(folderOf(site, name), 'gl-conf'), 'utf8');
}

/** Numbers of rules only say which comes first: ours leave room between the parts of a conf. */
function ranked(text: string): string {
  const numbers = [...new Set([...text.matchAll(/^ {6,8}(\d+),$/gm)].map(([, number]) => Number(number)))];
  const ranks = new Map(numbers.sort((a, b) => a - b).map((number, rank) => [number, rank]));
  return text.replaceAll(/^ {6,8}(\d+),$/gm, (_, number) => `rank ${ranks.get(Number(number))}`);
}

/** The real one lists the groups of a member in the order of a Perl hash: any. */
function inOrder(text: string): string {
  return text.replaceAll(/\[\n(?: +'@[a-z]+',?\n)+/g, (list) => list.replaceAll(',', '').split('\n').sort().join('\n'));
}

function compiled(text = CONF, previous?: CompiledConf): CompiledConf {
  const settings = { ...DEFAULT_SETTINGS, configKeys: ['.*'] };
  const result = compileConf({ files: new Map([['gitolite.conf', text]]), settings, previous });
  assert.ok(result.kind === 'ok');
  return result.compiled;
}
