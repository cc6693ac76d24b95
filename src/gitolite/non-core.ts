/** ENABLE: which names of features stand for what at which trigger point. All other names there are remote commands. */
import { isTrue, wordsOf } from './rc-value.ts';
import { hashOf, type PerlHash, type PerlValue } from './perl-value.ts';
import { dies } from './words.ts';

/** One feature at one point: NON_CORE lines of a site are the same three words. */
interface Feature {
  readonly name: string;
  /** A trigger point, SYNTACTIC_SUGAR, or COMMAND. */
  readonly where: string;
  /** What runs: `.` the name itself, `::` its function for this point. */
  readonly what: string;
}

/** Order matters: it is the order in which they run. */
const FEATURES = `
continuation-lines SYNTACTIC_SUGAR .
keysubdirs-as-groups SYNTACTIC_SUGAR .
macros SYNTACTIC_SUGAR .
refex-expr SYNTACTIC_SUGAR .
renice PRE_GIT .
Kindergarten INPUT ::
CpuTime INPUT ::
CpuTime POST_GIT ::
Shell INPUT ::
Alias INPUT ::
Motd INPUT ::
Motd PRE_GIT ::
Motd COMMAND motd
Mirroring INPUT ::
Mirroring PRE_GIT ::
Mirroring POST_GIT ::
refex-expr ACCESS_2 RefexExpr::access_2
expand-deny-messages ACCESS_1 .
expand-deny-messages ACCESS_2 .
RepoUmask PRE_GIT ::
RepoUmask POST_CREATE ::
partial-copy PRE_GIT .
upstream PRE_GIT .
no-create-on-read PRE_CREATE AutoCreate::deny_R
no-auto-create PRE_CREATE AutoCreate::deny_RW
ssh-authkeys-split POST_COMPILE post-compile/ssh-authkeys-split
ssh-authkeys POST_COMPILE post-compile/ssh-authkeys
Shell POST_COMPILE post-compile/ssh-authkeys-shell-users
set-default-roles POST_CREATE .
git-config POST_COMPILE post-compile/update-git-configs
git-config POST_CREATE post-compile/update-git-configs
create-with-reference POST_CREATE post-compile/create-with-reference
gitweb POST_CREATE post-compile/update-gitweb-access-list
gitweb POST_COMPILE post-compile/update-gitweb-access-list
cgit POST_COMPILE post-compile/update-description-file
daemon POST_CREATE post-compile/update-git-daemon-access-list
daemon POST_COMPILE post-compile/update-git-daemon-access-list
repo-specific-hooks POST_COMPILE .
repo-specific-hooks POST_CREATE .
`;

/** Spreads ENABLE over the trigger points and COMMANDS of `rc`. @throws `dies` where NON_CORE is wrong. */
export function expandEnabled(rc: PerlHash): void {
  const commands = commandsOf(rc);
  const enabled = new Map<string, string>();
  for (const line of listIn(rc, 'ENABLE')) {
    const [, name = '', own = ''] = /^\s*(\S*)\s*([\s\S]*)$/.exec(line) ?? [];
    enabled.set(name, own);
    commands.set(name, isTrue(own) ? own : '1');
  }
  for (const feature of featuresOf(rc.get('NON_CORE'))) {
    const { name, where } = feature;
    commands.delete(name);
    const own = enabled.get(name);
    if (own === undefined) continue;
    const list = rc.get(where);
    const line = isTrue(own) ? `${whatRuns(feature)} ${own}` : whatRuns(feature);
    if (Array.isArray(list)) list.push(line);
    else rc.set(where, [line]);
  }
  if (!Array.isArray(rc.get('COMMAND'))) rc.set('COMMAND', []);
  for (const line of listIn(rc, 'COMMAND')) {
    const [name] = wordsOf(line);
    if (name !== undefined) commands.set(name, '1');
  }
}

function commandsOf(rc: PerlHash): PerlHash {
  const known = rc.get('COMMANDS');
  if (known instanceof Map) return known;
  const made = hashOf([], 0);
  rc.set('COMMANDS', made);
  return made;
}

function listIn(rc: PerlHash, key: string): readonly string[] {
  const value = rc.get(key);
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** A site's lines come behind ours, or before the one that they name. */
function featuresOf(nonCore: PerlValue): readonly Feature[] {
  const features = linesOf(FEATURES).map(([name = '', where = '', what = '']) => ({ name, where, what }));
  if (typeof nonCore !== 'string' || !isTrue(nonCore)) return features;
  for (const [name = '', where = '', what = '', before, other = ''] of linesOf(nonCore)) {
    if (before === undefined) {
      features.push({ name, where, what });
      continue;
    }
    if (before !== 'before') throw dies(`NON_CORE: '${before}' where only 'before' can stand`);
    const index = features.findIndex((feature) => feature.name === other && feature.where === where);
    if (index !== -1) features.splice(index, 0, { name, where, what });
  }
  return features;
}

function linesOf(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .map((line) => wordsOf(line.replace(/#.*/, '')))
    .filter((words) => words.length > 0);
}

function whatRuns({ name, where, what }: Feature): string {
  if (what === '.') return name;
  return what === '::' ? `${name}::${where.toLowerCase()}` : what;
}
