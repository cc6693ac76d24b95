/** What an update changes in the tree, for rules that look at paths: asked of git, from the quarantine. */
import type { ChangedPaths } from '../access/decision.ts';
import { Fault } from '../base/fault.ts';
import type { ObjectFormat, Oid } from '../git/oid.ts';
import { runGitOk } from '../git/run.ts';
import type { ClassifyOptions } from './classify.ts';
import type { TreeFacts } from './decide.ts';

/** git knows them without their being stored (gitglossary, "empty tree"). */
const EMPTY_TREE: Readonly<Record<ObjectFormat, string>> = {
  sha1: '4b825dc642cb6eb9a060e54bf8d69288fbee4904',
  sha256: '6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321',
};

export function treeFacts(options: ClassifyOptions): TreeFacts {
  const { processes, repository, objectDirectory, deadlineMs, signal, requestId } = options;
  const empty = EMPTY_TREE[repository.objectFormat];
  const spec = {
    gitDir: repository.path,
    ...(objectDirectory === undefined ? {} : { objectDirectory }),
    deadlineMs,
    signal,
    requestId,
  };
  return {
    async changedPaths(oldOid, newOid) {
      const output = await runGitOk(processes, {
        ...spec,
        subcommand: 'diff-tree',
        options: ['-r', '-z', '--name-status', '--find-renames', '--no-commit-id', '--no-ext-diff'],
        operands: [treeOf(oldOid, empty), treeOf(newOid, empty)],
      });
      return parseNameStatus(output);
    },
    async topEntries(oid) {
      const output = await runGitOk(processes, {
        ...spec,
        subcommand: 'ls-tree',
        options: ['-z', '--name-only', '--full-tree'],
        operands: [oid],
      });
      return fields(output);
    },
  };
}

function treeOf(oid: Oid | undefined, empty: string): string {
  return oid === undefined ? empty : `${oid}^{tree}`;
}

/** Records `STATUS NUL PATH NUL`, two paths where the status is R (git-diff-tree(1), "-z"). */
export function parseNameStatus(output: Buffer): ChangedPaths {
  const changed = { added: [] as string[], deleted: [] as string[], modified: [] as string[], renamed: [] as string[] };
  const records = fields(output).values();
  for (const status of records) {
    const path = records.next().value;
    if (path === undefined) throw new Fault('process', 'diff-tree was cut short');
    switch (status.slice(0, 1)) {
      case 'A':
        changed.added.push(path);
        break;
      case 'D':
        changed.deleted.push(path);
        break;
      case 'R': {
        // A rule about a path cares for what is taken away and for what appears.
        const to = records.next().value;
        if (to === undefined) throw new Fault('process', 'diff-tree was cut short');
        changed.renamed.push(path, to);
        break;
      }
      default:
        changed.modified.push(path);
    }
  }
  return changed;
}

function fields(output: Buffer): readonly string[] {
  if (output.length === 0) return [];
  return output.toString('utf8').replace(/\0$/, '').split('\0');
}
