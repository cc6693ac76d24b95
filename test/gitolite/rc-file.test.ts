import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Fault } from '../../src/base/fault.ts';
import { defaultRcText } from '../../src/gitolite/default-rc.ts';
import type { Rc } from '../../src/gitolite/rc.ts';
import { type Ground, newGround, type Said } from './ground.ts';
import { CASES, HALF_FOLLOWED } from './settings-cases.ts';

const run = promisify(execFile);
const REAL = realGitolite();
const skip = REAL === undefined ? 'gitolite is not installed' : false;

function realGitolite(): string | undefined {
  try {
    return execFileSync('/bin/sh', ['-c', 'command -v gitolite'], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

async function groundWith(text: string): Promise<Ground> {
  const ground = await newGround();
  await mkdir(join(ground.home, '.gitolite/logs'), { recursive: true });
  await writeFile(join(ground.home, '.gitolite.rc'), text);
  return ground;
}

async function rcOf(text: string): Promise<Rc> {
  await using ground = await groundWith(text);
  return await ground.site.rc(ground.env);
}

async function askReal(ground: Ground, args: readonly string[]): Promise<Said> {
  try {
    const { stdout, stderr } = await run(REAL ?? '', ['query-rc', ...args], { env: ground.env });
    return { code: 0, stdout, stderr };
  } catch (error) {
    if (!(error instanceof Error) || !('stdout' in error) || !('stderr' in error) || !('code' in error)) throw error;
    return { code: Number(error.code), stdout: String(error.stdout), stderr: String(error.stderr) };
  }
}

/** Without what is the server's own, addresses, and the difference between a number and a text that looks like it. */
function comparable(text: string): string {
  return text
    .replaceAll(/^(\s*'?GL_(?:BINDIR|LIBDIR|TID)'?\s*=>?).*$/gm, '$1')
    .replaceAll(/(=> |^\s+)(-?\d+)(,?)$/gm, "$1'$2'$3")
    .replaceAll(/0x[\da-f]+/g, '0x0');
}

void test('the settings of every case are what the real gitolite sees in them', { skip }, async (t) => {
  for (const [name, text] of Object.entries(CASES)) {
    await t.test(name, async () => {
      await using ground = await groundWith(text);
      const real = await askReal(ground, ['-d']);
      const ours = await ground.gitolite(['query-rc', '-d']);
      assert.equal(comparable(ours.stdout), comparable(real.stdout), real.stderr);
      assert.deepEqual((await ground.site.rc(ground.env)).notUnderstood, []);
    });
  }
});

void test(
  'settings between statements that are not followed are what the real gitolite sees in them',
  { skip },
  async () => {
    await using ground = await groundWith(HALF_FOLLOWED);
    const real = await askReal(ground, ['-d']);
    const ours = await ground.gitolite(['query-rc', '-d']);
    assert.equal(comparable(ours.stdout), comparable(real.stdout), real.stderr);
    const { notUnderstood } = await ground.site.rc(ground.env);
    assert.ok(
      notUnderstood.every((line) => /\.rc:\d+: (?:my|if|sub|\$x|\$z) /.test(line)),
      notUnderstood.join('\n'),
    );
  },
);

void test('the settings of a new site are read by the real gitolite and by us alike', { skip }, async () => {
  await using ground = await groundWith(defaultRcText());
  for (const args of [['-d'], ['-a'], ['COMMANDS'], ['POST_COMPILE']]) {
    const real = await askReal(ground, args);
    const ours = await ground.gitolite(['query-rc', ...args]);
    assert.equal(comparable(ours.stdout), comparable(real.stdout), real.stderr);
  }
});

void test(
  'the settings that gitolite ships are read alike, switched on line by line as administrators do it',
  { skip },
  async () => {
    await using shipping = await groundWith('1;');
    const { stdout: shipped } = await run(REAL ?? '', ['print-default-rc'], { env: shipping.env });
    const edits: readonly (readonly [RegExp, string])[] = [
      [/GIT_CONFIG_KEYS.*/, "GIT_CONFIG_KEYS => '.*',"],
      [/# 'set-default-roles'/, "'set-default-roles'"],
      [/# 'partial-copy'/, "'partial-copy'"],
      [/# 'repo-specific-hooks'/, "'repo-specific-hooks'"],
      [/# LOCAL_CODE/, "LOCAL_CODE => '/tmp/x/local', #"],
      [/.Mirroring.,/, '"Mirroring",\n"create-with-reference",'],
    ];
    for (const text of [shipped, defaultRcText()]) {
      const edited = edits.reduce((before, [pattern, replacement]) => before.replace(pattern, replacement), text);
      await using ground = await groundWith(edited);
      const real = await askReal(ground, ['-d']);
      const ours = await ground.gitolite(['query-rc', '-d']);
      assert.equal(comparable(ours.stdout), comparable(real.stdout), real.stderr);
      assert.match(ours.stdout, /'LOCAL_CODE' => '\/tmp\/x\/local'/);
      assert.deepEqual((await ground.site.rc(ground.env)).notUnderstood, []);
    }
  },
);

void test('every line that is off in the settings of a new site can be switched on', { skip }, async () => {
  const text = defaultRcText()
    .replaceAll(/^(\s*)# ('[\w -]+',)$/gm, '$1$2')
    .replaceAll(/^(\s*)# ("Shell [^"]+",)$/gm, '$1$2')
    .replaceAll(/^(\s*)# ([A-Z_]+ +=> .*,)$/gm, '$1$2');
  await using ground = await groundWith(text);
  const real = await askReal(ground, ['-d']);
  const ours = await ground.gitolite(['query-rc', '-d']);
  assert.equal(comparable(ours.stdout), comparable(real.stdout), real.stderr);
  assert.match(ours.stdout, /'Mirroring::input'[\s\S]*'repo-specific-hooks'/);
});
void test('query-rc answers as the real one does', { skip }, async (t) => {
  await using ground = await groundWith(`%RC = (
    UMASK => 0077, ZERO => 0, EMPTY => '', LIST => ['a', '', 'c', ['x']], HASH => { k => 'v', z => 0, in => { a => 1 } },
    NONE => [], NO_KEYS => {}, ENABLE => ['help', 'D', 'ssh-authkeys'] );\n1;\n`);
  const questions = [
    'UMASK', '-n UMASK', 'UMASK -n', '-q UMASK', '-q -n UMASK', '--quiet NONE', '--q NO_KEYS', '-q NOT_THERE', 'NOT_THERE',
    'ZERO', '-q ZERO', 'EMPTY', 'LIST', 'LIST 0', 'LIST 1', 'LIST 3', 'LIST 3 0', 'LIST 9', '-n LIST', 'HASH', 'HASH k',
    'HASH z', 'HASH in', 'HASH in a', 'HASH in a b', 'HASH nope', 'HASH nope deeper', 'UMASK X', 'NONE', 'NO_KEYS',
    'COMMANDS', 'COMMANDS help', 'COMMANDS fork', '-q COMMANDS fork', 'POST_COMPILE', 'POST_COMPILE 0', 'ACCESS_1',
    '-a -q', '-a UMASK', '-a', '--all', '--al', '-d -q', 'constructor', 'HASH __proto__', '-n NOT_THERE', '--nonl LIST 0',
    '-n -- UMASK', '-q UMASK X',
  ]; // prettier-ignore
  for (const question of questions) {
    await t.test(question, async () => {
      const args = question.split(' ');
      const real = await askReal(ground, args);
      const ours = await ground.gitolite(['query-rc', ...args]);
      assert.equal(comparable(ours.stdout), comparable(real.stdout));
      assert.equal(ours.stderr, real.stderr);
      assert.equal(ours.code, real.code);
    });
  }
});

void test('what is not followed is named with file and line, and the rest stands', async () => {
  const text = `%RC = (
  HOSTNAME => \`hostname\`,
  UMASK => 0027,
  ROLES => { READERS => 1, OWN => some_function(1, 2), MANAGERS => 1 },
  BAD => sub { return "}"; }, GOOD => 'yes',
);
if ( -f "/etc/x" ) {
  $RC{UMASK} = 0;
}
do "$ENV{HOME}/other.rc";
$RC{COND} = 1 if $ENV{HOME};
$RC{AFTER} = "$unknown and more";
$RC{LAST} = 'last';
1;
`;
  await using ground = await groundWith(text);
  const rc = await ground.site.rc(ground.env);
  const lines = rc.notUnderstood.map((line) => line.slice(ground.home.length + 1));
  assert.deepEqual(
    lines.map((line) => /^\.gitolite\.rc:(\d+): /.exec(line)?.[1]),
    ['2', '4', '5', '7', '10', '11', '12'],
    lines.join('\n'),
  );
  assert.match(lines[0] ?? '', /HOSTNAME/);
  const shown = await ground.gitolite(['query-rc', '--unclear']);
  assert.deepEqual(shown, { code: 1, stdout: `${rc.notUnderstood.join('\n')}\n`, stderr: '' });
  assert.equal(rc.umask, 0o027);
  assert.deepEqual([...rc.roles], ['READERS', 'MANAGERS']);
  assert.equal(rc.hostname, undefined);
  assert.deepEqual(
    [rc.values['GOOD'], rc.values['LAST'], rc.values['COND'], rc.values['AFTER']],
    ['yes', 'last', undefined, undefined],
  );
});

void test('a file that ends in the middle is refused, as Perl refuses it', async () => {
  for (const text of [
    `%RC = ( A => 1,`,
    `%RC = ( A => 'x );\n1;`,
    `%RC = ( A => [ 1, 2 );\n1;\n`,
    `$RC{A} = <<END;\nx\n`,
  ]) {
    await assert.rejects(
      rcOf(text),
      (error) => error instanceof Fault && /line 1/.test(error.publicMessage ?? ''),
      text,
    );
  }
});

void test('values nested beyond reason are refused, not followed', async () => {
  await assert.rejects(rcOf(`%RC = ( A => ${'['.repeat(100_000)} );`), Fault);
  await assert.rejects(rcOf(`%RC = ( A => ${'('.repeat(1_000)}1${')'.repeat(1_000)} );`), Fault);
});

void test('settings for gitolite 2 are named as such', async () => {
  await assert.rejects(
    rcOf(`$GL_ADMINDIR=$ENV{HOME} . "/.gitolite";\n1;\n`),
    (error) => error instanceof Fault && /seems to be for older gitolite/.test(error.publicMessage ?? ''),
  );
});

void test('what the file puts into the environment reaches what it says later, and the site’s programs', async () => {
  const rc = await rcOf(
    `$ENV{PLACE} = "/srv/$ENV{NOT_THERE}x"; $ENV{PATH} = "/opt/bin:$ENV{PATH}"; %RC = ( A => $ENV{PLACE} );\n1;\n`,
  );
  assert.equal(rc.values['A'], '/srv/x');
  assert.equal(rc.env['PLACE'], '/srv/x');
  assert.match(rc.env['PATH'] ?? '', /^\/opt\/bin:\//);
});

void test('where a statement that is not followed has no end, the settings behind it are not dropped: nothing is read', async () => {
  await assert.rejects(
    rcOf(`foo(');\n$RC{ACCESS_1} = [ 'deny' ];\n1;\n`),
    (error) => error instanceof Fault && /gitolite\.rc, line 2: ' is not closed/.test(error.publicMessage ?? ''),
  );
});

void test('patterns of gitolite that have no effect here are listed', async () => {
  const { notUnderstood } = await rcOf('\n$REPONAME_PATT = qr(^[a-z]+$);\n%RC = ();\n1;\n');
  assert.equal(notUnderstood.length, 1);
  assert.match(notUnderstood[0] ?? '', /\.gitolite\.rc:2: \$REPONAME_PATT/);
});

void test('settings are what acts on them needs', async () => {
  const rc =
    await rcOf(`%RC = ( UMASK => 0007, GIT_CONFIG_KEYS => ' foo\\..* bar ', LOCAL_CODE => "$ENV{HOME}/local", HOSTNAME => 'h',
    SAFE_CONFIG => { A => 'b' }, GROUPLIST_PGM => '/usr/bin/groups', CACHE => 'Redis',
    ENABLE => [ 'help', 'sudo ua', 'macros', 'Motd', 'daemon' ] );\n1;\n`);
  assert.equal(rc.umask, 0o007);
  assert.deepEqual(rc.configKeys, ['foo\\..*', 'bar']);
  assert.equal(rc.localCode, join(rc.home, 'local'));
  assert.equal(rc.hostname, 'h');
  assert.deepEqual([...rc.safeConfig], [['A', 'b']]);
  assert.equal(rc.groupListProgram, '/usr/bin/groups');
  assert.deepEqual(
    [...rc.commands.entries()].sort(([a], [b]) => (a < b ? -1 : 1)),
    [
      ['help', '1'],
      ['motd', '1'],
      ['sudo', 'ua'],
    ],
  );
  assert.deepEqual(rc.sugar, ['macros']);
  assert.deepEqual(rc.triggers.get('PRE_GIT'), ['Motd::pre_git']);
  assert.deepEqual(rc.triggers.get('ACCESS_1'), ['Writable::access_1']);
  assert.match(rc.notUnderstood[0] ?? '', /\.gitolite\.rc:2: CACHE/);
});

void test('the file that G3T_RC names stands over the settings, and is followed last', async () => {
  await using ground = await groundWith(`%RC = ( HOSTNAME => 'one', ENABLE => ['help'] );\n1;\n`);
  const over = join(ground.home, 'over');
  await writeFile(over, `$rc{HOSTNAME} = 'frodo';\n$RC{HOSTNAME} = 'late';\n`);
  assert.equal((await ground.site.rc({ ...ground.env, G3T_RC: over })).hostname, 'frodo');
  assert.equal((await ground.site.rc(ground.env)).hostname, 'one');
});

void test('settings are read again when the file changes, and the same otherwise', async () => {
  await using ground = await groundWith(`%RC = ( HOSTNAME => 'one' );\n1;\n`);
  const first = await ground.site.rc(ground.env);
  assert.equal(await ground.site.rc(ground.env), first);
  await writeFile(join(ground.home, '.gitolite.rc'), `%RC = ( HOSTNAME => 'two' );\n1;\n`);
  assert.equal((await ground.site.rc(ground.env)).hostname, 'two');
});

void test('settings that ask the environment are not remembered for another', async () => {
  await using ground = await groundWith(`%RC = ( SITE_INFO => "for $ENV{WHO}" );\n1;\n`);
  assert.equal((await ground.site.rc({ ...ground.env, WHO: 'a' })).values['SITE_INFO'], 'for a');
  assert.equal((await ground.site.rc({ ...ground.env, WHO: 'b' })).values['SITE_INFO'], 'for b');
});
