/** The local command line before it is a command. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextSteps, readyLine, urlsOf } from '../../src/house/banner.ts';
import { absoluteWords, dataDirectoryOf, helpText, readWish, type Wish } from '../../src/house/options.ts';

function wish(...argv: readonly string[]): Wish {
  const read = readWish(argv);
  assert.ok(read.kind === 'ok', read.kind === 'refused' ? read.reason : '');
  return read.value;
}

function reason(...argv: readonly string[]): string {
  const read = readWish(argv);
  assert.equal(read.kind, 'refused');
  return read.kind === 'refused' ? read.reason : '';
}

test('flags of serve may stand on both sides of the word, with = or without', () => {
  const read = wish('--data', '/d', 'serve', '--ssh=off', '--admin-key', 'a', '--admin-key', 'b');
  assert.equal(read.kind, 'serve');
  const flags = read.kind === 'serve' ? Object.fromEntries(read.flags) : {};
  assert.deepEqual(flags, { '--data': ['/d'], '--ssh': ['off'], '--admin-key': ['a', 'b'] });
});

test('what is no flag of the gate belongs to the command, its own flags too', () => {
  const read = wish('--data', '/d', '--as', 'ian', 'ls', '-v', '--json');
  assert.deepEqual(read.kind === 'command' ? read.argv : [], ['ls', '-v', '--json']);
  const config = wish('config', 'hello', 'show');
  assert.equal(config.kind, 'command', 'config REPO show is a command of the gate');
  assert.equal(wish('config', 'show', '--json').kind, 'config');
});

test('version and help are answered wherever they are asked for', () => {
  assert.equal(wish('--version').kind, 'version');
  assert.equal(wish('serve', '--version').kind, 'version');
  assert.equal(wish().kind, 'help');
  assert.equal(wish('serve', '--help').kind, 'help');
  assert.match(helpText(), /--tls-cert FILE/);
});

test('a wrong flag is refused with the nearest one, a missing value and a repeated flag are refused', () => {
  assert.match(reason('serve', '--dta', 'x'), /unknown flag --dta; did you mean --data\?/);
  assert.match(reason('--dta', 'x', 'ls'), /did you mean --data\?/);
  assert.match(reason('serve', '--ssh'), /--ssh needs HOST:PORT\|off/);
  assert.match(reason('serve', '--ssh', 'off', '--ssh', 'off'), /--ssh is given twice/);
  assert.match(reason('serve', 'now'), /unexpected word "now"/);
  assert.match(reason('--as', 'ian', 'serve'), /--as goes with a command/);
});

test('the data directory comes from the flag, then the environment, then ./data', () => {
  const place = { env: { GATEHOUSE_DATA: '/from/env' }, cwd: '/here' };
  assert.equal(dataDirectoryOf(new Map([['--data', ['d']]]), place), '/here/d');
  assert.equal(dataDirectoryOf(new Map(), place), '/from/env');
  assert.equal(dataDirectoryOf(new Map(), { env: { GATEHOUSE_DATA: '' }, cwd: '/here' }), '/here/data');
});

test('policy check DIR is made absolute, nothing else', () => {
  assert.deepEqual(absoluteWords(['policy', 'check', '.', '--json'], '/w'), ['policy', 'check', '/w', '--json']);
  assert.deepEqual(absoluteWords(['as', 'ian', 'policy', 'check', 'd'], '/w'), [
    'as',
    'ian',
    'policy',
    'check',
    '/w/d',
  ]);
  assert.deepEqual(absoluteWords(['pass', 'issue', '--key', 'a.pub'], '/w'), ['pass', 'issue', '--key', '/w/a.pub']);
  assert.deepEqual(absoluteWords(['pass', 'issue', '--key', '-'], '/w'), ['pass', 'issue', '--key', '-']);
  assert.deepEqual(absoluteWords(['pass', 'issue', '--key=a.pub'], '/w'), ['pass', 'issue', '--key=/w/a.pub']);
  assert.deepEqual(absoluteWords(['policy', 'check', '--json'], '/w'), ['policy', 'check', '--json']);
  assert.deepEqual(absoluteWords(['create', 'check', 'd'], '/w'), ['create', 'check', 'd']);
});

test('the ready line has every door, closed ones as off', () => {
  assert.equal(readyLine({ ssh: '[::1]:22' }), 'gatehouse ready ssh=[::1]:22 http=off git=off\n');
});

test('clone URLs come from the settings, else from the bound address, reachable', () => {
  const none = { sshUrl: '', httpUrl: '', gitUrl: '', tlsCert: '' };
  const doors = { ssh: '0.0.0.0:22', http: '[::]:80', git: '127.0.0.1:9418' };
  assert.deepEqual(urlsOf(doors, none), {
    ssh: 'ssh://git@127.0.0.1:22',
    http: 'http://[::1]:80',
    git: 'git://127.0.0.1:9418',
  });
  assert.deepEqual(urlsOf({ http: 'h:1' }, { ...none, tlsCert: '/c', sshUrl: 'ssh://git@x/' }), {
    ssh: 'ssh://git@x',
    http: 'https://h:1',
  });
});

test('no line behind the ready line looks like it', () => {
  const about = {
    urls: {},
    administrator: 'a',
    dataDirectory: '/d',
    program: 'gatehouse',
    isFirst: true,
    hasKey: false,
  };
  const lines = nextSteps({ ...about, warnings: ['gatehouse ready?'] }).split('\n');
  assert.ok(lines.every((line) => !line.startsWith('gatehouse ready')));
  assert.ok(lines.some((line) => line.includes('gatehouse create hello')));
});
