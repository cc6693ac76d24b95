/**
 * A push pipeline in front of a bare repository as its upstream, in a process of its own, to be killed at a border:
 * `forward-server.ts ROOT UPSTREAM BORDER`. Prints the URL to push to.
 */
import { startForwardSite } from './ground.ts';
import { scriptedRemote } from './scripted-remote.ts';

const [root = '', upstream = '', dieAt = ''] = process.argv.slice(2);

let isReady = false;

function passes(border: string): void {
  if (isReady && border === dieAt) process.kill(process.pid, 'SIGKILL');
}

const remote = scriptedRemote(upstream, {
  onPack: () => {
    passes('at the upstream');
  },
  onTaken: () => {
    passes('taken upstream');
  },
});
const site = await startForwardSite({
  root,
  remote,
  onStep: (step) => {
    passes(`forward: ${step}`);
  },
  parts: {
    onCommitStep: (step) => {
      passes(`commit: ${step}`);
    },
  },
});
await site.refresh();
isReady = true;
process.stdout.write(`${site.gitUrl}\n`);
