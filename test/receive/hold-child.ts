/** A pipeline that holds every push, in a process that dies where it is told: `node hold-child.ts ROOT POINT`. */
import { createInterface } from 'node:readline';
import { ok } from '../../src/base/fault.ts';
import { parseUserName, type Principal } from '../../src/identity/principal.ts';
import { realDurable } from '../../src/receive/durable.ts';
import { HOLD_ALL, roomyHolding } from './hold-ground.ts';
import { PRINCIPAL, startSite, type Site } from './site.ts';

const [root = '', point = ''] = process.argv.slice(2);

function dieAt(here: string): void {
  if (here === point) process.kill(process.pid, 'SIGKILL');
}

const olive = parseUserName('olive');
if (olive.kind === 'refused') throw new Error(olive.reason);
const approver = { ...PRINCIPAL, name: olive.value } as Principal;

const site: Site = await startSite({
  root,
  decide: HOLD_ALL,
  parts: {
    durable: {
      ...realDurable,
      async syncDirectory(path) {
        await realDurable.syncDirectory(path);
        if (path.endsWith('gatehouse/held')) dieAt('objects');
      },
    },
    metrics: {
      push: () => {},
      held: (outcome) => {
        dieAt(outcome === 'waiting' ? 'record' : 'told');
      },
    },
    onCommitStep: dieAt,
    holding: roomyHolding(() => site),
  },
});
process.stdout.write(`${site.gitUrl}\n`);
for await (const id of createInterface(process.stdin)) {
  const found = await site.receive.holds?.find(id);
  if (found === undefined) throw new Error('no such hold');
  await site.receive.holds?.approve(found.held, {
    principal: approver,
    reason: 'fine',
    requestId: 'approval',
    signal: new AbortController().signal,
    tell: () => {},
    confirm: async () => ok(true),
  });
}
