/** The client's configuration, as git itself reads it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gitconfigOf } from '../../src/upstream/gitconfig.ts';
import { parseUpstreamUrl } from '../../src/upstream/upstream-url.ts';
import type { UpstreamUrl } from '../../src/upstream/upstream.ts';
import { cleanEnvironment, expectRun, workspace, type Scope } from '../support/workspace.ts';

const GATE = 'ssh://git@gate.example:2222/team/api';

function parsed(text: string): UpstreamUrl {
  const url = parseUpstreamUrl(text);
  assert.equal(url.kind, 'ok', text);
  return url.value;
}

/** What git makes of `asked` with the configuration for `upstream`. */
function rewriter(scope: Scope, upstream: string): (asked: string) => Promise<string> {
  const directory = workspace(scope);
  const file = join(directory, 'config');
  writeFileSync(file, gitconfigOf([{ gateUrl: GATE, upstream: parsed(upstream) }]));
  const env = { ...cleanEnvironment(directory), GIT_CONFIG_GLOBAL: file };
  return (asked) => expectRun('git', ['ls-remote', '--get-url', asked], { env, cwd: directory });
}

test('every spelling of an ssh upstream goes to the gate, with and without .git', async (t) => {
  const rewritten = rewriter(t, 'git@git.example:org/api.git');
  for (const asked of [
    'git@git.example:org/api',
    'git@git.example:org/api.git',
    'ssh://git@git.example/org/api',
    'ssh://git@git.example/org/api.git',
    'ssh://git@git.example:22/org/api.git',
  ]) {
    assert.match(await rewritten(asked), new RegExp(`^${GATE.replaceAll('.', '\\.')}(?:\\.git)?$`), asked);
  }
  for (const asked of ['git@git.example:org/other', 'git@evil.example:org/api', 'https://git.example/org/api'])
    assert.equal(await rewritten(asked), asked);
});

test('an upstream on a port of its own is known with the port and without', async (t) => {
  const rewritten = rewriter(t, 'ssh://git@git.example:7999/org/api.git');
  for (const asked of [
    'ssh://git@git.example:7999/org/api',
    'ssh://git@git.example/org/api',
    'git@git.example:org/api',
    'git@git.example:/org/api',
    '[git@git.example:7999]:org/api',
  ]) {
    assert.equal(await rewritten(asked), GATE, asked);
  }
});

test('https and IPv6 upstreams are known by their spellings', async (t) => {
  const https = rewriter(t, 'https://git.example/org/a%20b.git');
  assert.equal(await https('https://git.example/org/a%20b.git'), `${GATE}.git`);
  assert.equal(await https('https://git.example:443/org/a%20b'), GATE);
  const six = rewriter(t, 'ssh://git@[2001:db8::1]:2200/org/api');
  assert.equal(await six('ssh://git@[2001:db8::1]:2200/org/api'), GATE);
});

test('quotes and backslashes are escaped so that nothing of an address becomes configuration', async (t) => {
  const upstream = 'ssh://git@git.example/org/a"b\\c';
  const rewritten = rewriter(t, upstream);
  assert.equal(await rewritten(upstream), GATE);
});

test('a value with a line end or a control character is refused', () => {
  const url = parsed('git@git.example:org/api');
  for (const text of ['git@git.example:x\n[core]\nsshCommand = evil', 'a\u0000b', 'a\u2028b', 'a\rb'])
    assert.throws(() => gitconfigOf([{ gateUrl: GATE, upstream: { ...url, text } }]), { code: 'usage' });
  assert.throws(() => gitconfigOf([{ gateUrl: `${GATE}\n`, upstream: url }]), { code: 'usage' });
});

test('an upstream that is named .git alone does not draw everything of its host to the gate', async (t) => {
  for (const [upstream, other] of [
    ['git@git.example:.git', 'git@git.example:org/other'],
    ['https://git.example/.git', 'https://git.example/org/other'],
    ['ssh://git@git.example/.git', 'ssh://git@git.example/org/other'],
  ] as const) {
    const rewritten = rewriter(t, upstream);
    assert.equal(await rewritten(other), other);
    assert.equal(await rewritten(upstream), GATE);
  }
});
