/** GATEHOUSE_TRACE: which topics are on, and what a terminal gets. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { parseTopics, preview, printable } from '../../src/audit/trace.ts';

test('topics are words between commas or spaces; unknown ones are passed over', () => {
  assert.deepEqual([...parseTopics(undefined)], []);
  assert.deepEqual([...parseTopics('')], []);
  assert.deepEqual([...parseTopics('process,pkt')], ['pkt', 'process']);
  assert.deepEqual([...parseTopics(' access  nonsense')], ['access']);
  assert.deepEqual([...parseTopics('all')], ['pkt', 'access', 'process']);
});

test('control characters do not reach the terminal', () => {
  assert.equal(printable('a\u001b[31m\r\n\u009b\u2028é'), 'a\\x1b[31m\\x0d\\x0a\\x9b\\x2028é');
});

test('a preview is the start of a payload and its size', () => {
  assert.equal(preview(Buffer.from('command=ls-refs')), 'command=ls-refs');
  assert.match(preview(Buffer.alloc(100_000, 'x')), /^x{96}… \(100000 bytes\)$/);
});

/** Runs a trace of each topic in a process of its own, because the environment is read once. */
function traced(topics: string): { stderr: string; stdout: string } {
  const url = new URL('../../src/audit/trace.ts', import.meta.url).href;
  const script = `
    const { trace, isTraced } = await import(${JSON.stringify(url)});
    for (const topic of ['pkt', 'access', 'process']) {
      trace(topic, () => { process.stdout.write(topic + ' made;'); return topic + '\\n!'; });
    }
    process.stdout.write(String(isTraced('pkt')));`;
  const { stderr, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, GATEHOUSE_TRACE: topics },
    encoding: 'utf8',
  });
  return { stderr, stdout };
}

test('a topic that is on is written to standard error; of one that is off not even the text is made', () => {
  const on = traced('access');
  assert.equal(on.stderr, 'trace access: access\\x0a!\n');
  assert.equal(on.stdout, 'access made;false');
  assert.deepEqual(traced(''), { stderr: '', stdout: 'false' });
});
