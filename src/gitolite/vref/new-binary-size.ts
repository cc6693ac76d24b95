/** `VREF/MAX_NEWBIN_SIZE/BYTES`: no new binary file over that size, unless the top commit says who answers for it. */
import { quotePath } from '../../access/gitolite/quoted-path.ts';
import { changedPaths, factsOf } from '../../git/objects.ts';
import { isZeroOid } from '../../git/oid.ts';
import { runGitOk } from '../../git/run.ts';
import { signOff } from './count.ts';
import { commitText, specOf } from './history.ts';
import { NOT_BY_HAND, type Vref, type VrefQuestion } from './vref.ts';

export const MAX_NEWBIN_SIZE: Vref = async (question) => {
  const { update, refex, args, place } = question;
  const [max = ''] = args;
  if (max === '' || max === '0') return NOT_BY_HAND;
  if (isZeroOid(update.newOid)) return {};
  const large = await newBinaries(question, Number.parseInt(max, 10) || 0);
  if (large.length === 0) return {};
  const commit = await commitText(place, update.newOid);
  const text = (commit?.text ?? '').replaceAll('\t', ' ');
  const unsigned = large.filter((name) => !signOff(RegExp.escape(name), commit?.authorEmail ?? '').test(text));
  return { output: unsigned.map((name) => `${refex} ${name} is larger than ${max}`).join('') };
};

/** Names of binary files over `bytesMax` that were not there, or were empty. */
async function newBinaries({ oldTree, newTree, place }: VrefQuestion, bytesMax: number): Promise<readonly string[]> {
  const changes = await changedPaths(place, oldTree, newTree);
  const now = await factsOf(
    place,
    changes.map(({ newOid }) => newOid),
  );
  const before = await factsOf(
    place,
    changes.map(({ oldOid }) => oldOid),
  );
  const large = changes.filter((_, index) => {
    const file = now[index];
    return file?.type === 'blob' && file.sizeBytes > bytesMax && (before[index]?.sizeBytes ?? 0) === 0;
  });
  if (large.length === 0) return [];
  const binaries = await binaryPaths({ oldTree, newTree, place });
  return large.filter(({ path }) => binaries.has(path)).map(({ path }) => quotePath(path));
}

/** Changed files that git counts no lines in. */
async function binaryPaths({
  oldTree,
  newTree,
  place,
}: Pick<VrefQuestion, 'oldTree' | 'newTree' | 'place'>): Promise<ReadonlySet<string>> {
  const options = ['--numstat', '-r', '-z', '--no-renames', '--no-commit-id'];
  const spec = specOf(place, { subcommand: 'diff-tree', options, operands: [oldTree, newTree] });
  const lines = (await runGitOk(place.processes, spec)).toString('utf8').split('\0');
  return new Set(lines.flatMap((line) => /^-\t-\t(.*)$/s.exec(line)?.[1] ?? []));
}
