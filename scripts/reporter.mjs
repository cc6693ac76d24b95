/**
 * A reporter for node:test: one line a file, failures in full, and at the end what was skipped and why.
 * A skipped test proves nothing, so none is passed over in silence.
 */
import { relative } from 'node:path';
import { inspect } from 'node:util';

function labelOf(data) {
  return data.file === undefined ? '(no file)' : relative(process.cwd(), data.file);
}

/** The tests' own failure is what helps; Node wraps it in one that says "a subtest failed". */
function explain(error) {
  if (error === undefined || error === null) return 'no reason given';
  const cause = error.cause ?? error;
  if (error.failureType === 'subtestsFailed') return undefined;
  return cause instanceof Error || typeof cause !== 'object' ? (cause.stack ?? String(cause)) : inspect(cause);
}

function indent(text) {
  return text.replace(/^/gm, '    ');
}

class Files {
  #files = new Map();

  of(data) {
    const label = labelOf(data);
    const found = this.#files.get(label) ?? { passed: 0, failed: 0, skipped: [], failures: [], output: '' };
    this.#files.set(label, found);
    return found;
  }

  get all() {
    return [...this.#files];
  }
}

/** A suite, and the file that Node reports as a test of its own, are no tests. */
function isTest(data) {
  return data.details?.type !== 'suite' && !(data.nesting === 0 && data.file !== undefined && data.name === data.file);
}

function noteFailure(file, data) {
  const text = explain(data.details?.error);
  if (text === undefined) return;
  file.failed += 1;
  file.failures.push(`${data.name}\n${indent(text)}`);
}

function note(files, event) {
  const { type, data } = event;
  if (type === 'test:stderr' || type === 'test:stdout') {
    files.of(data).output += data.message;
  } else if (type === 'test:pass' && isTest(data)) {
    const file = files.of(data);
    if (data.skip !== undefined)
      file.skipped.push(`${data.name}${typeof data.skip === 'string' ? `: ${data.skip}` : ''}`);
    else file.passed += 1;
  } else if (type === 'test:fail') {
    noteFailure(files.of(data), data);
  }
}

function fileLine(label, file, ms) {
  const verdict = file.failed > 0 ? 'FAIL' : 'ok  ';
  const counts = [`${file.passed} passed`];
  if (file.failed > 0) counts.push(`${file.failed} failed`);
  if (file.skipped.length > 0) counts.push(`${file.skipped.length} skipped`);
  return `${verdict} ${label}  ${counts.join(', ')}${ms === undefined ? '' : `  ${(ms / 1000).toFixed(1)} s`}\n`;
}

/** Tests that a file's helpers define count where they stand, which has no summary of its own. */
function* unreported(files, reported) {
  for (const [label, file] of files.all)
    if (!reported.has(label) && file.passed + file.failed + file.skipped.length > 0) yield fileLine(label, file);
}

function* conclusion(files) {
  for (const [label, file] of files.all) {
    for (const failure of file.failures) yield `\nFAILED ${label}: ${failure}\n`;
    if (file.failed > 0 && file.output !== '')
      yield `\n  what ${label} printed:\n${indent(file.output.slice(-20_000))}\n`;
  }
  const skipped = files.all.filter(([, file]) => file.skipped.length > 0);
  if (skipped.length > 0) yield '\nskipped (not proven on this machine):\n';
  for (const [label, file] of skipped) for (const text of file.skipped) yield `  ${label}: ${text}\n`;
  const total = (pick) => files.all.reduce((sum, [, file]) => sum + pick(file), 0);
  const counts = [total((file) => file.passed), total((file) => file.failed), total((file) => file.skipped.length)];
  yield `\n${files.all.length} files, ${counts[0]} passed, ${counts[1]} failed, ${counts[2]} skipped\n`;
}

// oxlint-disable-next-line import/no-default-export -- node:test takes a reporter as a default export
export default async function* report(source) {
  const files = new Files();
  const reported = new Set();
  for await (const event of source) {
    note(files, event);
    // The summary of one file: Node sends it when the file's process has ended.
    if (event.type === 'test:summary' && event.data.file !== undefined) {
      reported.add(labelOf(event.data));
      yield fileLine(labelOf(event.data), files.of(event.data), event.data.duration_ms);
    }
  }
  yield* unreported(files, reported);
  yield* conclusion(files);
}
