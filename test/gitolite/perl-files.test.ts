/** What programs written against gitolite's Perl modules read: the same as the real gitolite writes. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { compileConf, type CompiledConf } from '../../src/access/gitolite/compile-conf.ts';
import { DEFAULT_SETTINGS } from '../../src/access/gitolite/conf-settings.ts';
import { commonText, repositoryText } from '../../src/gitolite/perl-files.ts';
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

function compiled(): CompiledConf {
  const settings = { ...DEFAULT_SETTINGS, configKeys: ['.*'] };
  const result = compileConf({ files: new Map([['gitolite.conf', CONF]]), settings });
  assert.ok(result.kind === 'ok');
  return result.compiled;
}
