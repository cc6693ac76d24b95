/** What the scan step hands to the scanner, and what it makes of the answer: fail closed, hold, attribute, tell. */
import assert from 'node:assert/strict';
import { writeFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { JournalEntry } from '../../src/audit/entry.ts';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import type { Step } from '../../src/receive/step.ts';
import {
  createSecretScanStep,
  scanModeOf,
  type ScanMode,
  type SecretScanParts,
} from '../../src/receive/steps/secret-scan.ts';
import type { Finding } from '../../src/scan/finding.ts';
import type { ScanItem, ScanReport, Scanner } from '../../src/scan/scanner.ts';
import { commitFile, git, gitOk, openSite, type Site } from './site.ts';

interface Seen {
  readonly kind: string;
  readonly path: string;
  readonly text: string;
}

interface Bench {
  readonly site: Site;
  readonly tree: string;
  /** Of the last push, in order. */
  readonly seen: Seen[];
  readonly counted: Map<string, number>;
  readonly journaled: JournalEntry[];
}

interface Options {
  /** Makes findings and notes of what it sees. */
  readonly judge?: (item: Seen & { readonly oid: string }) => Partial<ScanReport>;
  readonly scanner?: Pick<Scanner, 'scan'>;
  readonly parts?: Partial<SecretScanParts>;
  readonly mode?: ScanMode;
}

const NOTHING: ScanReport = { findings: [], items: 0, bytes: 0, unscanned: [], notes: [], findingsDropped: 0 };

function finding(item: Seen & { readonly oid: string }, more: Partial<Finding> = {}): Finding {
  const kind = item.kind === 'blob' ? 'blob' : 'text';
  const place = { kind, path: item.path, oid: item.oid, inner: '', line: 1, column: 1 } as const;
  return { ...place, rule: 'fake', description: 'Fake', redacted: 'x…(9)', fingerprint: 'f'.repeat(64), ...more };
}

async function bytesOf(content: ScanItem['content']): Promise<Buffer> {
  if (content instanceof Uint8Array) return Buffer.from(content);
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function openBench(t: TestContext, options: Options = {}): Promise<Bench> {
  const seen: Seen[] = [];
  const counted = new Map<string, number>();
  const journaled: JournalEntry[] = [];
  const fake: Pick<Scanner, 'scan'> = {
    async scan(items) {
      let report = NOTHING;
      for await (const item of items) {
        const text = (await bytesOf(item.content)).toString('latin1');
        const about = { kind: item.kind, path: item.path, text, oid: item.oid };
        seen.push({ kind: item.kind, path: item.path, text });
        const { findings = [], unscanned = [], findingsDropped = 0 } = options.judge?.(about) ?? {};
        report = {
          ...report,
          findings: [...report.findings, ...findings],
          unscanned: [...report.unscanned, ...unscanned],
          findingsDropped: report.findingsDropped + findingsDropped,
        };
      }
      return report;
    },
  };
  let step: Step | undefined;
  const late: Step = {
    name: 'late',
    check(push) {
      seen.length = 0;
      return step?.check(push) ?? Promise.resolve([]);
    },
  };
  const site = await openSite(t, { parts: { steps: [late] } });
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  step = createSecretScanStep({
    processes: site.processes,
    scanner: options.scanner ?? fake,
    waivers: { covering: async () => undefined, note: async () => {} },
    modeOf: () => options.mode ?? 'on',
    journal: { append: async (entry) => void journaled.push(entry) },
    metrics: { scanFindings: (outcome, count) => counted.set(outcome, count), scanBytes: () => {} },
    clock: systemClock,
    deadlineMs: 60_000,
    objectsMax: 1_000,
    ...options.parts,
  });
  return { site, tree, seen, counted, journaled };
}

async function refused({ site, tree }: Bench, reason: RegExp, ...refspecs: readonly string[]): Promise<string> {
  const before = await site.refs();
  const { code, stderr } = await git(tree, 'push', site.gitUrl, ...refspecs);
  assert.equal(code, 1, stderr);
  assert.match(stderr, reason);
  assert.equal(await site.refs(), before);
  assert.deepEqual(site.leftovers(), []);
  return stderr;
}

async function put(tree: string, path: string, content: string): Promise<void> {
  await mkdir(join(tree, path, '..'), { recursive: true });
  await writeFile(join(tree, path), content);
  await gitOk(tree, 'add', '-A');
}

test('the scan sees each new object once, a blob at every path, names, messages and options; nothing that was there', async (t) => {
  const bench = await openBench(t);
  const { tree, seen, site } = bench;
  await put(tree, 'one.txt', 'same');
  await put(tree, 'dir/two.tfvars', 'same');
  await put(tree, 'large.txt', 'x'.repeat(3_000_000));
  await gitOk(tree, 'commit', '-q', '-m', 'The message');
  await gitOk(tree, 'push', '-q', '-o', 'an option', site.gitUrl, 'main');
  const of = (kind: string): readonly string[] =>
    seen.filter((item) => item.kind === kind).map((item) => `${item.path}=${item.text.slice(0, 40)}`);
  assert.deepEqual(of('refname'), ['refs/heads/main=refs/heads/main']);
  assert.deepEqual(of('text'), ['push option=an option']);
  assert.deepEqual(of('blob').toSorted(), ['dir/two.tfvars=same', `large.txt=${'x'.repeat(40)}`, 'one.txt=same']);
  assert.equal(seen.find(({ path }) => path === 'large.txt')?.text.length, 3_000_000);
  assert.deepEqual(of('tree').toSorted(), ['=a\ndir\nlarge.txt\none.txt', 'dir=two.tfvars']);
  assert.equal(of('commit').length, 1);
  assert.match(seen.find(({ kind }) => kind === 'commit')?.text ?? '', /author A U Thor[^]*The message/);
});

test('an object that the scanner cannot look at refuses the push, and says so', async (t) => {
  const bench = await openBench(t, {
    judge: ({ kind, path, oid }) =>
      path === 'big'
        ? { unscanned: [{ item: { kind: kind as 'blob', path, oid }, reason: 'larger than 5 bytes' }] }
        : {},
  });
  await put(bench.tree, 'big', 'much');
  await gitOk(bench.tree, 'commit', '-q', '-m', 'Big');
  await refused(bench, /secret scan: big: larger than 5 bytes; what cannot be scanned is not taken/, 'main');
});

test('more objects than the scan takes refuse the push', async (t) => {
  const bench = await openBench(t, { parts: { objectsMax: 5 } });
  for (let index = 0; index < 8; index += 1) await put(bench.tree, `f${index}`, `content ${index}`);
  await gitOk(bench.tree, 'commit', '-q', '-m', 'Many');
  await refused(bench, /looks at 5 objects at once at most/, 'main');
});

test('a directory that names one old file at a thousand places is too much for the scan, not for its memory', async (t) => {
  const bench = await openBench(t, { parts: { objectsMax: 100 } });
  const names = Array.from({ length: 1_000 }, (_, index) => `name-${index}`);
  await Promise.all(names.map((name) => writeFile(join(bench.tree, name), 'a')));
  await gitOk(bench.tree, 'add', '-A');
  await gitOk(bench.tree, 'commit', '-q', '-m', 'Wide');
  await refused(bench, /looks at 100 objects at once at most/, 'main');
});

test('a scan that takes too long refuses the push', async (t) => {
  const never: Pick<Scanner, 'scan'> = {
    scan: (_items, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      }),
  };
  const clock: Clock = { ...systemClock, after: (_ms, callback) => systemClock.after(20, callback) };
  const bench = await openBench(t, { scanner: never, parts: { clock } });
  await put(bench.tree, 'b', 'b');
  await gitOk(bench.tree, 'commit', '-q', '-m', 'Slow');
  await refused(bench, /the secret scan took longer than 60 s/, 'main');
});

test('a scanner that fails lets nothing through', async (t) => {
  const broken: Pick<Scanner, 'scan'> = { scan: () => Promise.reject(new Error('broken')) };
  const bench = await openBench(t, { scanner: broken });
  await put(bench.tree, 'b', 'b');
  await gitOk(bench.tree, 'commit', '-q', '-m', 'Broken');
  const before = await bench.site.refs();
  const { code, stderr } = await git(bench.tree, 'push', bench.site.gitUrl, 'main');
  assert.notEqual(code, 0);
  assert.match(stderr, /internal error/);
  assert.equal(await bench.site.refs(), before);
});

test('a finding is told with file, line and commit, counted and journaled', async (t) => {
  const bench = await openBench(t, {
    judge: (item) => (item.text.startsWith('secret') ? { findings: [finding(item)] } : {}),
  });
  await put(bench.tree, 'deep/down/key', 'secret');
  await gitOk(bench.tree, 'commit', '-q', '-m', 'Key');
  const commit = await gitOk(bench.tree, 'rev-parse', 'HEAD');
  await commitFile(bench.tree, 'later');
  const stderr = await refused(bench, /\(secret scan: fake in deep\/down\/key:1, commit [0-9a-f]{8}\)/, 'main');
  assert.match(stderr, new RegExp(`deep/down/key:1, commit ${commit.slice(0, 8)}`));
  assert.deepEqual([...bench.counted], [['refused', 1]]);
  assert.equal(bench.journaled[0]?.event, 'scan');
  assert.equal(bench.journaled[0]?.transport, 'git');
  assert.match(bench.journaled[0]?.reason ?? '', /^found fake in deep\/down\/key:1/);
});

test('findings beyond the bound refuse every ref', async (t) => {
  const bench = await openBench(t, { judge: ({ kind }) => (kind === 'commit' ? { findingsDropped: 3 } : {}) });
  await commitFile(bench.tree, 'b');
  await refused(bench, /3 secrets more than are listed/, 'main');
});

test('a finding that something excuses is a question, unless there is one that nothing does', async (t) => {
  const verdicts: unknown[] = [];
  const bench = await openBench(t, {
    judge: (item) => {
      if (item.kind !== 'blob') return {};
      if (item.text === 'asked') return { findings: [finding(item, { excused: 'a comment' })] };
      return item.text === 'secret' ? { findings: [finding(item, { fingerprint: 'e'.repeat(64) })] } : {};
    },
    parts: { journal: { append: async (entry) => void verdicts.push(entry.reason) } },
  });
  await put(bench.tree, 'asked', 'asked');
  await gitOk(bench.tree, 'commit', '-q', '-m', 'Asked');
  const stderr = await refused(bench, /secret scan asks an approver: fake in asked:1/, 'main');
  assert.match(stderr, /said to be none: a comment/);
  assert.deepEqual([...bench.counted], [['held', 1]]);
  await put(bench.tree, 'secret', 'secret');
  await gitOk(bench.tree, 'commit', '-q', '-m', 'Secret');
  await refused(bench, /\(secret scan: fake in secret:1/, 'main');
});

test('only what is reported is told where nothing is to be refused', async (t) => {
  const bench = await openBench(t, {
    mode: 'report',
    judge: (item) => (item.text === 'secret' ? { findings: [finding(item)] } : {}),
  });
  await put(bench.tree, 'key', 'secret');
  await gitOk(bench.tree, 'commit', '-q', '-m', 'Key');
  const { code, stderr } = await git(bench.tree, 'push', bench.site.gitUrl, 'main');
  assert.equal(code, 0, stderr);
  assert.match(stderr, /this push brings a secret/);
  assert.deepEqual([...bench.counted], [['reported', 1]]);
  assert.equal(bench.journaled[0]?.outcome, 'served');
});

test('a mirror is scanned unless it says otherwise, another repository as the house says', () => {
  const facts = (settings: Record<string, string>) => ({ id: 'r', name: 'r', owner: 'o', settings }) as never;
  const options = { isMirror: () => true, house: 'off' as const };
  assert.equal(scanModeOf(facts({}), options), 'on');
  assert.equal(scanModeOf(facts({ scan: 'report' }), options), 'report');
  assert.equal(scanModeOf(facts({}), { ...options, isMirror: () => false }), 'off');
  assert.equal(scanModeOf(facts({ scan: 'on' }), { ...options, isMirror: () => false }), 'on');
  assert.equal(scanModeOf(facts({ scan: 'nonsense' }), options), 'on');
});

test('a ref whose name is the finding is refused, though the scanner says nothing of the name in clear', async (t) => {
  const bench = await openBench(t, {
    judge: (item) =>
      item.kind === 'refname' && item.text.endsWith('hidden')
        ? { findings: [finding(item, { kind: 'refname', path: 'h... (6)' })] }
        : {},
  });
  await commitFile(bench.tree, 'b');
  await refused(bench, /secret scan: fake in the name of a ref/, 'main:refs/heads/hidden');
  const { code, stderr } = await git(bench.tree, 'push', bench.site.gitUrl, 'main', 'main:refs/heads/hidden');
  assert.equal(code, 1, stderr);
  assert.match(stderr, /main -> main\n/);
});
