/** gatehouse.toml and flags: strict, layered, and every value with its origin. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig, parseConfigFile, showConfig, type Config } from '../../src/base/config.ts';
import type { Parsed } from '../../src/base/fault.ts';
import { readSetting, showSetting } from '../../src/base/setting-values.ts';
import { SETTING_IDS, settingOf } from '../../src/base/settings.ts';

const directory = mkdtempSync(join(tmpdir(), 'gatehouse-config-'));
after(() => rmSync(directory, { recursive: true }));

let made = 0;
function load(text: string | undefined, flags: Readonly<Record<string, readonly string[]>> = {}): Parsed<Config> {
  made += 1;
  const file = join(directory, `${made}.toml`);
  if (text !== undefined) writeFileSync(file, text);
  const common = { dataDirectory: join(directory, 'absent'), cwd: directory, flags: new Map(Object.entries(flags)) };
  return loadConfig(text === undefined ? common : { ...common, file });
}

function loaded(parsed: Parsed<Config>): Config {
  assert.ok(parsed.kind === 'ok', parsed.kind === 'refused' ? parsed.reason : '');
  return parsed.value;
}

function reason(parsed: Parsed<unknown>): string {
  assert.equal(parsed.kind, 'refused');
  return parsed.kind === 'refused' ? parsed.reason : '';
}

test('without a file every setting has its default', () => {
  const config = loaded(load(undefined));
  assert.deepEqual(config.settings.ssh, { host: '127.0.0.1', port: 2222 });
  assert.ok(Object.values(config.origins).every((origin) => origin === 'default'));
});

test('a flag goes over the file and the file over the default', () => {
  const text = '# hello\n[ssh]\nlisten = "0.0.0.0:22"\n\n[http]\nlisten = "off"\n';
  const config = loaded(load(text, { '--ssh': ['[::1]:0'] }));
  assert.deepEqual(config.settings.ssh, { host: '::1', port: 0 });
  assert.equal(config.origins.ssh, 'flag --ssh');
  assert.equal(config.settings.http, 'off');
  assert.match(config.origins.http, /\.toml:6$/);
  assert.equal(config.origins.git, 'default');
});

test('an unknown key is refused with its line and the nearest known one', () => {
  assert.match(
    reason(load('[ssh]\n\nlistn = "off"\n')),
    /\.toml:3: unknown key ssh\.listn; did you mean ssh\.listen\?$/,
  );
  assert.match(reason(load('something.else = 1\n')), /:1: unknown key something\.else$/);
});

test('every problem is told at once', () => {
  const text = '[ssh]\nlisten = "nowhere"\n[log]\nlevel = "loud"\n[push]\npack-bytes-max = "1 KB"\n';
  const lines = reason(load(text)).split('\n');
  assert.equal(lines.length, 3);
  assert.match(
    lines.join('\n'),
    /:2: ssh\.listen: an address is[^]*:6: push.pack-bytes-max: a size is[^]*:4: log\.level: one of debug/,
  );
});

test('a value of the wrong TOML type is refused', () => {
  assert.match(reason(load('ssh.listen = 22')), /:1: ssh\.listen is an address in quotation marks$/);
  assert.match(
    reason(load('[first-start]\nadmin-keys = "one"\n')),
    /:2: first-start\.admin-keys is a list of file names/,
  );
});

test('broken TOML is refused with line and column', () => {
  assert.match(reason(load('[ssh]\nlisten = = 1\n')), /\.toml:2:10: /);
});

test('a named file that does not exist is refused; an absent gatehouse.toml is not', () => {
  const sources = { flags: new Map(), dataDirectory: directory, cwd: directory };
  assert.match(reason(loadConfig({ ...sources, file: join(directory, 'none.toml') })), /cannot be read \(ENOENT\)/);
  assert.equal(loadConfig(sources).kind, 'ok');
});

test('paths in the file are relative to the file, paths of flags to the working directory', () => {
  const config = loaded(load('[http]\ntls-cert = "a.pem"\n', { '--tls-key': ['b.pem'] }));
  assert.equal(config.settings.tlsCert, join(directory, 'a.pem'));
  assert.equal(config.settings.tlsKey, join(directory, 'b.pem'));
  assert.match(reason(load('[http]\ntls-cert = "a.pem"\n')), /go together/);
});

test('sizes and durations are read with their units and shown so that they read back', () => {
  const config = loaded(load('[push]\npack-bytes-max = 2048\nobject-bytes-max = "1 MiB"\ndeadline = "90s"\n'));
  assert.equal(config.settings.packBytesMax, 2048);
  assert.equal(config.settings.objectBytesMax, 1024 * 1024);
  assert.equal(config.settings.pushDeadline, 90_000);
  for (const id of SETTING_IDS) {
    const setting = settingOf(id);
    if (setting.type === 'paths') continue;
    const read = readSetting(setting, [showSetting(setting, config.settings[id])], (path) => path);
    assert.deepEqual(read, { kind: 'ok', value: config.settings[id] }, setting.key);
  }
});

test('config show lists every setting with its origin', () => {
  const shown = showConfig(loaded(load('[ssh]\nlisten = "off"\n')));
  assert.equal(shown.length, SETTING_IDS.length);
  const ssh = shown.find((line) => line.key === 'ssh.listen');
  assert.equal(ssh?.value, 'off');
  assert.match(ssh?.origin ?? '', /toml:2$/);
});

test('a key written dotted, quoted or inline is found on its line or its table, never misplaced', () => {
  const lineOf = (text: string): string | undefined => {
    const parsed = parseConfigFile('f', text);
    return parsed.kind === 'ok' ? parsed.value.get('ssh')?.origin : parsed.reason;
  };
  assert.equal(lineOf('\nssh.listen = "off"'), 'f:2');
  assert.equal(lineOf('\n\n["ssh"]\n"listen" = "off"'), 'f:4');
  assert.equal(lineOf('ssh = { listen = "off" }'), 'f:1');
  assert.equal(lineOf('[git]\nlisten = "off"\n[ssh]\nlisten = "off"'), 'f:4');
});

test('hostile keys do not reach a prototype', () => {
  assert.match(reason(load('__proto__.listen = "off"')), /unknown key/);
  assert.match(reason(load('[constructor]\nprototype = "off"')), /unknown key/);
});
