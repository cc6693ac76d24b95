/** The thread that scans: whatever a regex does here, the gate's event loop does not feel it. */
import { parentPort, workerData } from 'node:worker_threads';
import { compileRules, type CompiledRules } from './compiled-rules.ts';
import { Conveyor } from './conveyor.ts';
import { ItemScan, type ItemResult } from './item-scan.ts';
import type { ScanLimits } from './scan-limits.ts';
import type { ThreadAnswer, ThreadData, ThreadRequest } from './scan-protocol.ts';
import { runGuarded, type Guarded } from './step-guard.ts';

interface Work {
  readonly rules: CompiledRules;
  readonly limits: ScanLimits;
}

interface OpenItem {
  readonly scan: ItemScan;
  readonly conveyor: Conveyor;
}

const port = parentPort;
if (port !== null) {
  const { rules, limits, progress } = workerData as ThreadData;
  const work: Work = { rules: compileRules(rules, progress), limits };
  const answer = (message: ThreadAnswer): void => port.postMessage(message);
  let open: OpenItem | undefined;
  const serve = async (request: ThreadRequest): Promise<void> => {
    switch (request.kind) {
      case 'batch':
        return answer({ kind: 'results', results: await scanBatch(work, request) });
      case 'open': {
        const scan = new ItemScan({ ...work, facts: request.facts });
        open = { scan, conveyor: new Conveyor((source) => scan.scan(source)) };
        return answer({ kind: 'taken', done: false });
      }
      case 'chunk':
        await open?.conveyor.push(asBuffer(request.bytes));
        return answer({ kind: 'taken', done: open?.conveyor.isOpen !== true });
      case 'end':
      case 'drop': {
        const result = open === undefined ? failed(0) : await conclude(open);
        open = undefined;
        return answer({ kind: 'results', results: [result] });
      }
      default:
        return request satisfies never;
    }
  };
  // An exception in here ends the thread, and the scanner says that the item was not looked at.
  port.on('message', (request: ThreadRequest) => void serve(request));
  answer({ kind: 'ready' });
}

async function conclude({ scan, conveyor }: OpenItem): Promise<ItemResult> {
  try {
    await conveyor.end();
    return scan.result();
  } catch {
    return failed(0);
  }
}

/** The small ones that are no archives are prepared together and run in one go. */
async function scanBatch(
  work: Work,
  request: Extract<ThreadRequest, { kind: 'batch' }>,
): Promise<readonly ItemResult[]> {
  const bytes = asBuffer(request.bytes);
  const texts: Guarded[] = [];
  const later: { readonly scan: ItemScan; readonly content: Buffer }[] = [];
  const scans: ItemScan[] = [];
  let at = 0;
  for (const [item, { facts, length }] of request.items.entries()) {
    const content = bytes.subarray(at, at + length);
    const scan = new ItemScan({ ...work, facts, item });
    const guarded = scan.begin(content);
    if (guarded === undefined) later.push({ scan, content });
    else texts.push(...guarded);
    scans.push(scan);
    at += length;
  }
  runGuarded(texts);
  const broken = new Set<ItemScan>();
  for (const { scan, content } of later) {
    try {
      await scan.scan(once(content));
    } catch {
      broken.add(scan);
    }
  }
  return scans.map((scan) => (broken.has(scan) ? failed(0) : scan.result()));
}

async function* once(content: Buffer): AsyncGenerator<Buffer> {
  yield content;
}

/** What went wrong is not told: it could quote what was scanned. */
function failed(bytes: number): ItemResult {
  return { findings: [], dropped: 0, bytes, notes: [], unscanned: 'the scan of it failed' };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
