/** Settings: known keys have a type, others are text, none can break a rule, a log or a configuration. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BOUNDS } from '../../src/base/bounds.ts';
import { headOf, parseSettingKey, parseSettings, withSetting, type Settings } from '../../src/repository/settings.ts';
import type { SettingValue } from '../../src/repository/repository.ts';
import { must, reasonOf } from './fixture.ts';

function set(settings: Settings, key: string, value: SettingValue | undefined): Settings {
  return must(withSetting(settings, must(parseSettingKey(key)), value));
}

test('lists are given whole or appended to, each entry once', () => {
  let settings = set({}, 'readers', 'staff');
  settings = set(settings, 'readers.*', 'robots');
  settings = set(settings, 'readers.*', 'staff');
  assert.deepEqual(settings, { readers: ['staff', 'robots'] });
  assert.deepEqual(set(settings, 'readers', 'a, b c'), { readers: ['a', 'b', 'c'] });
  assert.deepEqual(set(settings, 'project.writers', ['a', 'a']), { ...settings, writers: ['a'] });
  assert.deepEqual(set(settings, 'readers', undefined), {});
  assert.deepEqual(set(set({}, 'topics.*', 'one two'), 'topics.*', 'three'), { topics: ['one two', 'three'] });
});

test('switches, branches and sizes are normalised, or refused with what they may be', () => {
  for (const word of ['yes', 'TRUE', 'on', '1']) assert.deepEqual(set({}, 'public', word), { public: 'yes' });
  for (const word of ['no', 'False', 'off', '0']) assert.deepEqual(set({}, 'public', word), { public: 'no' });
  assert.deepEqual(set({}, 'default-branch', 'refs/heads/trunk'), { 'default-branch': 'trunk' });
  assert.deepEqual(set({}, 'project.head', 'trunk'), { 'default-branch': 'trunk' });
  assert.deepEqual(set({}, 'limits.pack-bytes', '10 MiB'), { 'limits.pack-bytes': `${10 * 1024 * 1024}` });
  assert.equal(headOf({}), 'refs/heads/main');
  assert.equal(headOf({ 'default-branch': 'trunk' }), 'refs/heads/trunk');
  const wrong: readonly (readonly [string, SettingValue])[] = [
    ['public', 'maybe'],
    ['public', ['yes', 'no']],
    ['public', []],
    ['default-branch', 'a..b'],
    ['default-branch', 'a\nb'],
    ['default-branch', ''],
    ['default-branch', 'x.lock'],
    ['limits.pack-bytes', '-1'],
    ['readers', '@staff'],
    ['readers', ['a b\u0000']],
    ['readers', '../x'],
    ['free', 'a\nb'],
    ['free', 'x'.repeat(BOUNDS.settingValueBytesMax + 1)],
    ['free', Array.from({ length: BOUNDS.settingListMax + 1 }, () => 'x')],
  ];
  for (const [key, value] of wrong) {
    assert.equal(withSetting({}, must(parseSettingKey(key)), value).kind, 'refused', `${key} ${JSON.stringify(value)}`);
  }
});

test('keys that are no plain words are refused, those of every object too', () => {
  for (const key of [
    '',
    '.',
    'A',
    'a b',
    'a=b',
    'a..b',
    '.a',
    'a.',
    '*',
    'a*',
    'a.*.b',
    '__proto__',
    'constructor',
    'a\n',
    '1a',
  ]) {
    assert.equal(parseSettingKey(key).kind, 'refused', key);
  }
  assert.equal(parseSettingKey('x'.repeat(BOUNDS.settingKeyBytesMax + 1)).kind, 'refused');
});

test('a slip for a known key is set with a warning; a known or an unlike one without', () => {
  assert.match(must(parseSettingKey('writer')).warning ?? '', /did you mean writers/);
  assert.match(must(parseSettingKey('pubic')).warning ?? '', /did you mean public/);
  assert.equal(must(parseSettingKey('writers')).warning, undefined);
  assert.equal(must(parseSettingKey('build-farm')).warning, undefined);
});

test('taking away what is not there and setting too many are refused', () => {
  assert.match(reasonOf(withSetting({}, must(parseSettingKey('free')), undefined)), /no setting free/);
  const full = Object.fromEntries(Array.from({ length: BOUNDS.settingsMax }, (_, index) => [`k${index}`, 'v']));
  assert.match(reasonOf(withSetting(full, must(parseSettingKey('more')), 'v')), /at most/);
  assert.match(reasonOf(parseSettings({ owner: 'me' })), /owner/);
});

test('whatever is set is one line of text, or a list of them', () => {
  const value = fc.oneof(fc.string({ unit: 'binary' }), fc.array(fc.string({ unit: 'binary' })));
  const key = fc.constantFrom('readers', 'public', 'default-branch', 'limits.pack-bytes', 'free', 'free.*');
  fc.assert(
    fc.property(key, value, (key, value) => {
      const result = withSetting({}, must(parseSettingKey(key)), value);
      if (result.kind === 'refused') return;
      for (const entry of Object.values(result.value).flat()) assert.doesNotMatch(entry, /[\p{Cc}\p{Zl}\p{Zp}]/u);
    }),
    { numRuns: 2_000 },
  );
});
