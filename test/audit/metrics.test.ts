/** What `/metrics` shows, and that two gates in one process do not mix. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../src/audit/metrics.ts';

test('every count is in the text with its labels', async () => {
  const metrics = createMetrics();
  metrics.request({ transport: 'ssh', service: 'upload-pack', outcome: 'served' }, 40);
  metrics.gitProcess('upload-pack');
  metrics.refCache('hit');
  metrics.refCache('hit');
  metrics.refCache('miss');
  metrics.bytes('out', 'http', 1_000);
  metrics.push('refused', 12);
  metrics.mirrorRefresh('unchanged', 8);
  metrics.mirrorRefresh('fresh', undefined);
  metrics.journalSync(2, 7);
  metrics.connectionOpened('ssh');
  metrics.connectionOpened('ssh');
  metrics.connectionClosed('ssh');
  metrics.login('ssh', 'refused');
  const text = await metrics.text();
  for (const line of [
    'gatehouse_request_seconds_count{transport="ssh",service="upload-pack",outcome="served"} 1',
    'gatehouse_git_processes_total{subcommand="upload-pack"} 1',
    'gatehouse_ref_cache_total{result="hit"} 2',
    'gatehouse_ref_cache_total{result="miss"} 1',
    'gatehouse_bytes_total{direction="out",transport="http"} 1000',
    'gatehouse_push_seconds_count{outcome="refused"} 1',
    'gatehouse_mirror_refresh_total{outcome="unchanged"} 1',
    'gatehouse_mirror_refresh_total{outcome="fresh"} 1',
    'gatehouse_mirror_refresh_seconds_count{outcome="unchanged"} 1',
    'gatehouse_journal_sync_seconds_count 1',
    'gatehouse_journal_lines_total 7',
    'gatehouse_connections{transport="ssh"} 1',
    'gatehouse_logins_total{transport="ssh",outcome="refused"} 1',
  ]) {
    assert.ok(text.split('\n').includes(line), line);
  }
  assert.match(text, /gatehouse_nodejs_eventloop_lag_seconds /);
  // prom-client would wake the process a hundred times a second for those.
  assert.doesNotMatch(text, /eventloop_lag_(?!seconds)/);
  assert.match(text, /gatehouse_event_loop_delay_seconds_bucket\{le="0.005"\} /);
  assert.match(text, /gatehouse_event_loop_blocked_seconds_bucket\{le="0.005"\} /);
  assert.match(text, /gatehouse_process_resident_memory_bytes /);
  assert.match(metrics.contentType, /^text\/plain/);
});

test('what is counted between two looks is in the second, with what was in the first', async () => {
  const metrics = createMetrics();
  metrics.bytes('in', 'http', 10);
  metrics.bytes('out', 'http', 1_000);
  metrics.login('ssh', 'served');
  assert.equal(await metrics.value('bytes_total'), 1_010);
  metrics.bytes('in', 'ssh', 5);
  metrics.bytes('in', 'http', 1);
  metrics.login('ssh', 'served');
  const text = await metrics.text();
  for (const line of [
    'gatehouse_bytes_total{direction="in",transport="http"} 11',
    'gatehouse_bytes_total{direction="in",transport="ssh"} 5',
    'gatehouse_bytes_total{direction="out",transport="http"} 1000',
    'gatehouse_logins_total{transport="ssh",outcome="served"} 2',
  ]) {
    assert.ok(text.split('\n').includes(line), line);
  }
  assert.equal(await metrics.text().then((again) => again.includes('direction="in",transport="http"} 11')), true);
});

test('two sets of metrics do not share their counts', async () => {
  const [one, two] = [createMetrics(), createMetrics()];
  one.gitProcess('index-pack');
  one.gitProcess('rev-list');
  assert.equal(await one.value('git_processes_total'), 2);
  assert.equal(await two.value('git_processes_total'), 0);
  assert.equal(await two.value('no_such_metric'), 0);
});
