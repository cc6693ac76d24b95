/** The step that holds a push to its limits: the largest object, everything unpacked, the longest path. */
import { limitsFor, type ReceiveLimits } from '../limits.ts';
import type { Step } from '../step.ts';

/** What breaks a limit breaks the whole push: its objects come in together or not at all. */
export function createSizeStep(siteLimits: ReceiveLimits): Step {
  return {
    name: 'size-limits',
    check(push) {
      const limits = limitsFor(siteLimits, push.repository);
      const { largest, unpackedBytes, longestPath, longestName } = push.contents;
      const problems: string[] = [];
      if (largest !== undefined && largest.bytes > limits.objectBytesMax) {
        problems.push(
          `${largest.type} ${largest.oid} has ${largest.bytes} bytes: at most ${limits.objectBytesMax} are taken`,
        );
      }
      if (unpackedBytes > limits.unpackedBytesMax) {
        problems.push(`the objects have ${unpackedBytes} bytes unpacked: at most ${limits.unpackedBytesMax} are taken`);
      }
      const pathBytes = Buffer.byteLength(longestPath);
      if (pathBytes > limits.pathBytesMax) {
        problems.push(`a path has ${pathBytes} bytes: at most ${limits.pathBytesMax} are taken: ${longestPath}`);
      }
      const nameBytes = Buffer.byteLength(longestName);
      if (nameBytes > limits.nameBytesMax) {
        problems.push(`a file name has ${nameBytes} bytes: at most ${limits.nameBytesMax} are taken: ${longestName}`);
      }
      const [reason] = problems;
      if (reason === undefined) return Promise.resolve([]);
      for (const problem of problems) push.tell(`gatehouse: ${problem}\n`);
      const brings = push.updates.filter(({ kind }) => kind !== 'delete');
      return Promise.resolve(brings.map(({ refname }) => ({ refname, reason })));
    },
  };
}
