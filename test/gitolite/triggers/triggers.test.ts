/** The built-in triggers, each called as a trigger point calls it, on a site made of a directory and a few settings. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { Fault } from '../../../src/base/fault.ts';
import { compileConf } from '../../../src/access/gitolite/compile-conf.ts';
import { ConfPolicy } from '../../../src/access/gitolite/conf-policy.ts';
import { DEFAULT_SETTINGS } from '../../../src/access/gitolite/conf-settings.ts';
import { KeyFiles } from '../../../src/gitolite/key-files.ts';
import type { Rc, RcValue } from '../../../src/gitolite/rc.ts';
import type { Env, Run } from '../../../src/gitolite/run.ts';
import { BUILT_IN_TRIGGERS } from '../../../src/gitolite/triggers/all.ts';
import { MirrorQueue } from '../../../src/gitolite/triggers/mirror-queue.ts';
import type { BuiltInTrigger, TriggerEffect } from '../../../src/gitolite/triggers/trigger.ts';
import { cleanEnvironment, expectRun, workspace } from '../../support/workspace.ts';

type About = Parameters<BuiltInTrigger['run']>[1];

interface Ground {
  readonly home: string;
  readonly said: string[];
  readonly call: (name: string, about: Partial<About>, env?: Env) => Promise<TriggerEffect | void>;
}

interface GroundOptions {
  readonly values?: Readonly<Record<string, RcValue>>;
  readonly conf?: string;
  readonly hostname?: string;
}

function ground(scope: TestContext, { values = {}, conf = 'repo lab\n', hostname }: GroundOptions = {}): Ground {
  const home = workspace(scope);
  for (const folder of ['.gitolite/logs', '.ssh', 'repositories/lab.git/objects/info', 'bin/VREF', 'bin/triggers'])
    mkdirSync(join(home, folder), { recursive: true });
  const rc: Rc = {
    home,
    values,
    repositoryBase: join(home, 'repositories'),
    adminBase: join(home, '.gitolite'),
    binDirectory: join(home, 'bin'),
    localCode: undefined,
    umask: 0o077,
    hostname,
    configKeys: [],
    safeConfig: new Map(),
    unsafeValue: undefined,
    roles: new Set(['READERS', 'WRITERS']),
    commands: new Map([['info', '1']]),
    sugar: [],
    triggers: new Map(),
    groupListProgram: undefined,
    env: {},
    notUnderstood: [],
  };
  const compilation = compileConf({ files: new Map([['gitolite.conf', conf]]), settings: DEFAULT_SETTINGS });
  assert.ok(compilation.kind === 'ok', JSON.stringify(compilation));
  const { compiled } = compilation;
  const inForce = { compiled, policy: new ConfPolicy(compiled, rc.roles), revision: 1 };
  const said: string[] = [];
  const say = async (text: string | Uint8Array): Promise<void> => void said.push(Buffer.from(text).toString());
  const run: Run = {
    site: {
      home,
      current: inForce,
      keyFiles: new KeyFiles(systemClock),
      rc: async () => rc,
      conf: async () => inForce,
      compile: async () => {},
      physical: async () => ['lab'],
      repository: async (_rc, name) => ({
        name,
        path: join(home, `repositories/${name}.git`),
        exists: true,
        isHooked: true,
        creator: '',
        permissions: '',
        roles: rc.roles,
      }),
    },
    rc,
    env: { PATH: process.env['PATH'] ?? '', HOME: home, GL_LOGFILE: join(home, '.gitolite/logs/log'), GL_TID: '1' },
    cwd: home,
    stdin: Readable.from([]),
    print: say,
    warn: say,
    signal: new AbortController().signal,
    clock: systemClock,
  };
  return {
    home,
    said,
    async call(name, about, env = {}) {
      const trigger = BUILT_IN_TRIGGERS.get(name);
      assert.ok(trigger, name);
      const call = { point: undefined, own: [], args: [], ...about };
      return trigger.run({ ...run, env: { ...run.env, ...env } }, call);
    },
  };
}

async function deathOf(doing: Promise<unknown>): Promise<string> {
  try {
    await doing;
  } catch (error) {
    assert.ok(error instanceof Fault);
    return error.publicMessage ?? '';
  }
  return '';
}

const soc = (command: string): Env => ({ SSH_ORIGINAL_COMMAND: command });

test('Writable refuses a write where a down file lies, with its text, and no read', async (t) => {
  const { home, call } = ground(t);
  const asked = (attempt: string): Promise<unknown> =>
    call('Writable::access_1', { point: 'ACCESS_1', args: ['lab', 'ann', attempt, 'any', 'refs/.*'] });
  assert.equal(await deathOf(asked('W')), '');
  writeFileSync(join(home, 'repositories/lab.git/.gitolite.down'), 'moving\n');
  assert.equal(await deathOf(asked('W')), 'moving\n');
  assert.equal(await deathOf(asked('R')), '');
  writeFileSync(join(home, '.gitolite.down'), '');
  assert.match(await deathOf(asked('W')), /^sorry, writes are currently disabled/);
});

test('AutoCreate refuses what comes with a clone, or with a push too', async (t) => {
  const { call } = ground(t);
  const creating = (name: string, attempt: string): Promise<string> =>
    deathOf(call(name, { point: 'PRE_CREATE', args: ['lab', 'ann', attempt] }));
  assert.equal(await creating('AutoCreate::deny_R', 'R'), 'autocreate denied\n');
  assert.equal(await creating('AutoCreate::deny_R', 'W'), '');
  assert.equal(await creating('AutoCreate::deny_RW', 'W'), 'autocreate denied\n');
  assert.equal(await creating('AutoCreate::deny_RW', 'perms-c'), '');
});

test('set-default-roles writes the roles of the options, in the order of their keys, with the creator named', async (t) => {
  const conf = 'repo lab\n  option default.roles-2 = WRITERS CREATOR bob\n  option default.roles-1 = READERS @all\n';
  const { home, call } = ground(t, { conf });
  const file = join(home, 'repositories/lab.git/gl-perms');
  const created = { point: 'POST_CREATE', args: ['lab', 'ann', 'R'] } as const;
  await call('set-default-roles', { ...created, args: ['lab'] }, { GL_USER: 'ann' });
  assert.throws(() => readFileSync(file), 'a repository of the conf has no roles of its own');
  await call('set-default-roles', created, { GL_USER: 'ann' });
  assert.equal(readFileSync(file, 'utf8'), 'READERS @all\nWRITERS ann bob\n');
  const nowhere = { ...created, args: ['gone', 'ann', 'R'] };
  assert.equal(await deathOf(call('set-default-roles', nowhere)), "set-default-roles: repo 'gone' does not exist");
});

test('create-with-reference names the objects of each repository that the options list', async (t) => {
  const conf = 'repo lab\n  option reference.repo-1 = a b\n  option reference.repo-2 = a/c\n';
  const { home, call } = ground(t, { conf });
  await call('post-compile/create-with-reference', { point: 'POST_CREATE', args: ['lab'] });
  const base = join(home, 'repositories');
  assert.equal(
    readFileSync(join(base, 'lab.git/objects/info/alternates'), 'utf8'),
    `${base}/a.git/objects\n${base}/b.git/objects\n${base}/a/c.git/objects\n`,
  );
});

test('Alias sends a Git request to the new name, says so, and refuses where the new name must be used', async (t) => {
  const values = { REPO_ALIASES: { PREFIX_MAPS: { 'var/': 'opt/' }, old: 'new', gone: '301/here', 'opt/a': 'opt/b' } };
  const { call, said } = ground(t, { values });
  const input = (command: string): Promise<TriggerEffect | void> =>
    call('Alias::input', { point: 'INPUT', args: ['ann', command] }, soc(command));
  assert.deepEqual(await input("git-upload-pack '/old.git'"), { command: "git-upload-pack 'new'" });
  assert.deepEqual(said, ["WARNING: 'old' is an alias for 'new'\n"]);
  assert.deepEqual(await input("git-receive-pack 'var/x'"), { command: "git-receive-pack 'opt/x'" });
  assert.deepEqual(await input("git-receive-pack 'var/a'"), { command: "git-receive-pack 'opt/b'" });
  assert.equal(await input("git-upload-pack 'other'"), undefined);
  assert.equal(await input('info'), undefined);
  assert.equal(await deathOf(input("git-upload-pack 'gone'")), "please use 'here' instead of 'gone'");
});

test('Shell gives a shell only behind -s, and only for what is no command of the site', async (t) => {
  const { call, said } = ground(t);
  const input = (caller: string, command: string): Promise<TriggerEffect | void> =>
    call('Shell::input', { point: 'INPUT', args: [caller, command] }, { ...soc(command), SHELL: '/bin/sh' });
  assert.deepEqual(await input('ann', 'echo hello'), { user: 'ann' });
  assert.deepEqual(await input('-s ann', "git-upload-pack 'lab'"), { user: 'ann' });
  assert.deepEqual(await input('-s ann', 'info'), { user: 'ann' });
  assert.deepEqual(await input('-s ann', 'echo hello; exit 3'), { exit: 3 });
  assert.deepEqual(said, ['hello\n']);
});

test('Shell marks the lines of its users alone, from the settings or from a file', async (t) => {
  const { home, call } = ground(t);
  const file = join(home, '.ssh/authorized_keys');
  const line = (user: string, options: string): string =>
    `command="/x/gitolite-shell ${user}",no-port-forwarding${options} ssh-ed25519 AAAA ${user}\n`;
  writeFileSync(file, line('ann', ',no-pty') + line('annie', ',no-pty') + line('bob', ',no-pty'));
  writeFileSync(join(home, 'shells'), '# people\nbob\n');
  await call('post-compile/ssh-authkeys-shell-users', { point: 'POST_COMPILE', own: [join(home, 'shells'), 'ann'] });
  assert.equal(
    readFileSync(file, 'utf8'),
    `${line('-s ann', '')}${line('annie', ',no-pty')}${line('-s bob', '')}`.replaceAll(/AAAA -s /g, 'AAAA '),
  );
});

test('Motd shows the message of the site and of the repository', async (t) => {
  const { home, call, said } = ground(t);
  await call('Motd::input', { point: 'INPUT', args: ['ann', 'info'] });
  writeFileSync(join(home, '.gitolite/gl-motd'), 'hello all\n');
  writeFileSync(join(home, 'repositories/lab.git/gl-motd'), 'hello lab\n');
  await call('Motd::input', { point: 'INPUT', args: ['ann', 'info'] });
  await call('Motd::pre_git', { point: 'PRE_GIT', args: ['lab', 'ann', 'R', 'any', 'git-upload-pack'] });
  assert.deepEqual(said, ['hello all\n', 'hello lab\n']);
});

test('Kindergarten refuses a literal CREATOR and a user called 0, or the one of them that is asked for', async (t) => {
  const { call } = ground(t);
  const input = (user: string, command: string, own: readonly string[] = []): Promise<string> =>
    deathOf(call('Kindergarten::input', { point: 'INPUT', own, args: [user, command] }, soc(command)));
  assert.match(await input('ann', "git-upload-pack 'foo/CREATOR/x'"), /'CREATOR' not allowed as part of reponame/);
  assert.match(await input('0', 'info'), /'0' is not a valid username/);
  assert.equal(await input('0', 'info', ['CREATOR']), '');
  assert.equal(await input('ann', "git-upload-pack 'foo/CREATORS'"), '');
});

test('expand-deny-messages tells what was attempted where, once something is refused', async (t) => {
  const { home, call, said } = ground(t);
  const zero = '0'.repeat(40);
  const one = '1'.repeat(40);
  const denied = ['lab', 'ann', 'W', 'refs/heads/x', 'W refs/heads/x lab ann DENIED by fallthru', zero, one];
  await call('expand-deny-messages', { point: 'ACCESS_2', args: denied.with(4, 'refs/.*') });
  await call('expand-deny-messages', { point: 'ACCESS_2', args: denied }, { GL_OPTION_EDM_DISABLE: '1' });
  assert.deepEqual(said, []);
  await call('expand-deny-messages', { point: 'ACCESS_2', args: denied }, { GL_OPTION_EDM_EXTRA_INFO: 'ask eve' });
  const text = said.join('');
  assert.match(text, /^\nFATAL -- ACCESS DENIED\nRepo {12}lab +\n/);
  assert.match(text, /Ref {13}Branch 'x' +\nOperation {7}Create ref +\n\nask eve\n\n$/);
  writeFileSync(join(home, 'bin/VREF/OWN'), '#!/bin/sh\n# help start\nbe nice\n# help end\nexit 0\n', { mode: 0o755 });
  const virtual = denied.with(3, 'VREF/OWN/1').with(5, one);
  await call('expand-deny-messages', { point: 'ACCESS_2', args: virtual });
  assert.match(said.at(-1) ?? '', /Operation {7}Fast forward push +\nExplanation for VREF\/OWN:\nbe nice\n/);
});

test('RepoUmask gives a new repository the permissions of its option, and tells git', async (t) => {
  const { home, call } = ground(t, { conf: 'repo lab\n  option umask = 0027\n' });
  const config = join(home, 'repositories/lab.git/config');
  writeFileSync(config, '[core]\n\tbare = true\n');
  await call('RepoUmask::post_create', { point: 'POST_CREATE', args: ['lab'] });
  assert.match(readFileSync(config, 'utf8'), /sharedRepository = 0640/i);
});

test('RepoUmask: what is no umask refuses who comes, and no compile', async (t) => {
  const { said, call } = ground(t, { conf: 'repo lab\n  option umask = 0x7\n' });
  await call('RepoUmask::post_create', { point: 'POST_CREATE', args: ['lab'] });
  assert.match(said.join(''), /WARNING: lab: option umask = 0x7: expected octal digits/);
  assert.match(await deathOf(call('RepoUmask::pre_git', { point: 'PRE_GIT', args: ['lab'] })), /option umask = 0x7/);
});

test('upstream fetches what its option names, unless that was done a moment ago', async (t) => {
  const far = workspace(t);
  const env = cleanEnvironment(far);
  const git = async (cwd: string, ...args: string[]): Promise<string> => expectRun('git', args, { cwd, env });
  await git(far, 'init', '-q', '-b', 'main', '.');
  await git(far, 'commit', '-q', '--allow-empty', '-m', 'one');
  const conf = `repo lab\n  option upstream.url = ${far}\n  option upstream.nice = 5\n`;
  const { home, call } = ground(t, { conf });
  const lab = join(home, 'repositories/lab.git');
  await git(lab, 'init', '-q', '--bare', '.');
  const asked = (): Promise<unknown> => call('upstream', { point: 'PRE_GIT', args: ['lab', 'ann', 'R'] });
  await asked();
  const first = await git(far, 'rev-parse', 'HEAD');
  assert.equal(await git(lab, 'rev-parse', 'refs/heads/main'), first);
  await git(far, 'commit', '-q', '--allow-empty', '-m', 'two');
  await asked();
  assert.equal(await git(lab, 'rev-parse', 'refs/heads/main'), first);
  await call('upstream', { args: ['fetch', 'lab'] });
  assert.notEqual(await git(lab, 'rev-parse', 'refs/heads/main'), first, 'by hand it is fetched at once');
});

test('a mirrored repository takes no push where it is a copy, and none at all where it is neither', async (t) => {
  const conf = 'repo lab\n  option mirror.master = far\n  option mirror.copies-1 = here\n';
  const pushing = (hostname: string): Promise<string> =>
    deathOf(
      ground(t, { conf, hostname }).call('Mirroring::pre_git', { point: 'PRE_GIT', args: ['lab', 'ann', 'W', 'any'] }),
    );
  assert.equal(await pushing('here'), "here: pushing 'lab' to copy 'here' not allowed");
  assert.equal(await pushing('else'), "else: 'lab' is mirrored but not here");
  assert.equal(await pushing('far'), '');
});

test('pushes to one copy run one at a time, and what waits is asked for once', async () => {
  const queue = new MirrorQueue();
  const began: string[] = [];
  const first = Promise.withResolvers<void>();
  const running = queue.push('lab copy', async () => {
    began.push('first');
    await first.promise;
    throw new Error('unreachable host');
  });
  const second = queue.push('lab copy', async () => began.push('second'));
  const third = queue.push('lab copy', async () => began.push('third'));
  await queue.push('other copy', async () => began.push('other'));
  assert.deepEqual(began, ['first', 'other']);
  first.resolve();
  await Promise.all([running, second, third]);
  assert.deepEqual(began, ['first', 'other', 'second']);
});

test('bg lets nobody wait: what its trigger says goes to a file beside the log', async (t) => {
  const { home, call, said } = ground(t);
  const done = join(home, 'done');
  const program = `#!/bin/sh\necho "$@" > ${done}\necho heard\n`;
  writeFileSync(join(home, 'bin/triggers/slow'), program, { mode: 0o755 });
  await call('bg', { point: 'POST_COMPILE', own: ['slow', 'one'], args: ['lab'] });
  const log = join(home, '.gitolite/logs/log.bg');
  await until(() => readFileSync(log, 'utf8').includes('heard'));
  assert.equal(readFileSync(done, 'utf8'), 'one POST_COMPILE lab\n');
  assert.deepEqual(said, []);
});

/** Until a file that another process writes is there: turns of the event loop, within a second or a few. */
async function until(isTrue: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; performance.now() < end;) {
    if (isTrue()) return;
    await new Promise(setImmediate);
  }
  assert.fail('it did not happen');
}
