/** The policy's files as they stand in a commit of the policy repository, read through git, bounded. */
import { Buffer } from 'node:buffer';
import { BOUNDS } from '../base/bounds.ts';
import { Fault } from '../base/fault.ts';
import type { GitProcesses, GitSpec } from '../git/processes.ts';
import { runGit, runGitOk } from '../git/run.ts';
import { isPolicyPath, POLICY_FOLDERS, type PolicySources } from './compile.ts';
import { fileProblem, type Problem } from './problem.ts';

export interface TreeQuestion {
  readonly processes: Pick<GitProcesses, 'start'>;
  /** The bare repository. */
  readonly gitDir: string;
  /** Quarantine, where the commit is not in the repository yet. */
  readonly objectDirectory?: string;
  readonly signal?: AbortSignal;
}

export type PolicyTree =
  | { readonly kind: 'ok'; readonly sources: PolicySources }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[] };

const DEADLINE_MS = 60_000;

interface Entry {
  readonly path: string;
  readonly oid: string;
  readonly bytes: number;
}

/** The full oid of the commit that HEAD names; undefined: none yet. */
export async function readHead(question: TreeQuestion): Promise<string | undefined> {
  const answer = await runGitOk(
    question.processes,
    specOf(question, 'cat-file', ['--batch-check']),
    Buffer.from('HEAD\n'),
  );
  const [oid = '', type] = answer.toString('latin1').trim().split(' ');
  return type === 'commit' ? oid : undefined;
}

/** @throws Fault where git fails; what is wrong with the files is a value. */
export async function readPolicyTree(question: TreeQuestion, commit: string): Promise<PolicyTree> {
  const spec = {
    ...specOf(question, 'ls-tree', ['-z', '-l', '-r', '--full-tree']),
    operands: [commit, ...POLICY_FOLDERS.map((folder) => `${folder}/`)],
  };
  const listed = await runGit(question.processes, spec);
  if (listed.code !== 0) {
    throw new Fault('process', 'policy tree could not be listed', { context: { commit, stderr: listed.stderr } });
  }
  const entries: Entry[] = [];
  const problems: Problem[] = [];
  for (const line of listed.stdout.toString('utf8').split('\0')) {
    const found = /^(\d+) (\w+) ([0-9a-f]+) +(\d+|-)\t([^]*)$/.exec(line);
    const [, mode = '', type, oid = '', bytes, path = ''] = found ?? [];
    if (!isPolicyPath(path)) continue;
    if (type !== 'blob' || mode === '120000') problems.push(fileProblem(path, 'is no plain file'));
    else entries.push({ path, oid, bytes: Number(bytes) });
  }
  const total = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  if (total > BOUNDS.policyBytesMax)
    problems.push(fileProblem('rules/', `a policy has at most ${BOUNDS.policyBytesMax} bytes`));
  return problems.length > 0 ? { kind: 'wrong', problems } : readBlobs(question, entries);
}

async function readBlobs(question: TreeQuestion, entries: readonly Entry[]): Promise<PolicyTree> {
  const spec = specOf(question, 'cat-file', ['--batch', '--buffer']);
  const output = await runGitOk(question.processes, spec, Buffer.from(entries.map(({ oid }) => `${oid}\n`).join('')));
  const sources = new Map<string, string>();
  const problems: Problem[] = [];
  let at = 0;
  for (const { path, oid, bytes } of entries) {
    const header = `${oid} blob ${bytes}\n`;
    if (output.toString('latin1', at, at + header.length) !== header) {
      throw new Fault('corrupt', 'policy file could not be read', { context: { path, oid } });
    }
    at += header.length;
    const text = decode(output.subarray(at, at + bytes));
    at += bytes + 1;
    if (text === undefined) problems.push(fileProblem(path, 'is not UTF-8 text'));
    else sources.set(path, text);
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'ok', sources };
}

function decode(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function specOf(question: TreeQuestion, subcommand: GitSpec['subcommand'], options: readonly string[]): GitSpec {
  const { gitDir, objectDirectory, signal } = question;
  return {
    subcommand,
    options,
    gitDir,
    deadlineMs: DEADLINE_MS,
    ...(objectDirectory === undefined ? {} : { objectDirectory }),
    ...(signal === undefined ? {} : { signal }),
  };
}
