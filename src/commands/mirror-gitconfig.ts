/** `mirror gitconfig`: what clients need so that their upstream URLs lead to this gate. */
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { gitconfigOf } from '../upstream/gitconfig.ts';
import { findReadable } from './answer.ts';
import { done, type Answer, type Call, type Command } from './command.ts';
import { readableViews } from './mirror-view.ts';

export const MIRROR_GITCONFIG: Command = {
  form: 'mirror gitconfig [REPO]',
  summary: "Print git configuration that sends a client's upstream URLs to this gate",
  details: [
    'Of one mirror, or of all that you may read. A client with it clones git@git.example:org/api, and talks to the gate.',
    'git compares how a URL starts: what begins with the URL of a mirror goes to the gate as well.',
  ],
  flags: [
    { name: '--via', value: 'ssh|http|git', meaning: 'how clients reach the gate; default: the first that is open' },
  ],
  examples: ['mirror gitconfig >> ~/.gitconfig', 'mirror gitconfig api --via http'],
  isReadOnly: true,
  scope: 'read',
  permission: { kind: 'open' },
  run: gitconfig,
};

async function gitconfig(call: Call): Promise<Answer> {
  const base = gateUrl(call);
  if (base.kind === 'refused') return base;
  const name = call.args.optional('REPO');
  let views = await readableViews(call);
  if (name !== undefined) {
    const found = await findReadable(call, name);
    if (found.kind !== 'found') return found;
    views = views.filter(({ repository }) => repository.id === found.repository.id);
    if (views.length === 0) return refuse(`${found.repository.name} is no mirror: mirror list shows them`);
  }
  const entries = views.map((view) => ({ gateUrl: `${base.value}/${view.name}`, upstream: view.upstream.url }));
  const text = gitconfigOf(entries);
  return done(
    { gitconfig: text, urls: Object.fromEntries(entries.map((entry) => [entry.upstream.text, entry.gateUrl])) },
    text,
  );
}

/** Where clients find the gate, without a slash at the end. */
function gateUrl(call: Call): Parsed<string> {
  const urls = call.parts.urls();
  const via = call.args.value('--via');
  if (via === undefined) {
    const first = urls.ssh ?? urls.http ?? urls.git;
    return first === undefined ? refuse('no door of this gate is open: start it, or set urls.ssh') : ok(first);
  }
  if (via !== 'ssh' && via !== 'http' && via !== 'git') return refuse('--via is ssh, http or git');
  const wanted = urls[via];
  return wanted === undefined ? refuse(`the ${via} door of this gate is closed`) : ok(wanted);
}
