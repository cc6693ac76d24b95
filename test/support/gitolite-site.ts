/**
 * A site as the real gitolite makes it, administered by pushes: repositories, wild ones among them, roles, deny
 * rules, a delegated part, virtual refs, and hooks, a command, a virtual ref and a trigger of the site's own. Its clients
 * run what `authorized_keys` says for their key, as sshd would have them.
 */
import { createHash } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Account, type Programs } from './account.ts';
import { run, type Ended, type RunOptions, type Scope } from './workspace.ts';

export const USERS = ['admin', 'ann', 'bob', 'carol', 'eve', 'lee', 'mallory'] as const;
/** Repositories of the site that are not apps: those of the conf, of the delegated part and of people. */
const OTHERS = 12;

const confOf = (apps: readonly string[]): string => `
@staff = ann bob
@lead  = ann
@apps  = ${apps.join(' ')}
@eng   = eng-1 eng-2 eng-3

repo gitolite-admin
    RW+ = admin

repo testing
    RW+ = @all

repo @apps
    RW+                  = @lead
    -   refs/tags/v[0-9] = @staff
    RW                   = @staff
    R                    = carol
    config gitweb.owner  = %GL_REPO owner

repo lab
    RW+CD dev/USER/ = @staff
    -   main        = bob
    RW+CD           = ann
    RW              = bob
    R               = eve

repo vault
    option deny-rules = 1
    -   = eve
    RW+ = ann
    R   = @all

repo checked
    RW+                   = @staff
    -   VREF/COUNT/2      = bob
    -   VREF/NAME/secret/ = bob
    -   VREF/TICKET       = bob

repo hooked
    RW+ = @staff
    option hook.pre-receive = no-tabs

repo people/CREATOR/..*
    C    = @staff
    RW+D = CREATOR
    RW   = WRITERS
    R    = READERS TESTERS
    option default.roles-1 = READERS @lead

subconf "teams/*.conf"
`;

const TEAM_CONF = `
repo @eng
    RW+ = lee
    R   = @all

repo app-01
    RW+ = lee
`;

const OWN_PROGRAMS: Readonly<Record<string, string>> = {
  'commands/hello': `#!/bin/sh\necho "hello $GL_USER: $*"\n[ "$1" != fail ] || exit 7\n`,
  'VREF/TICKET': `#!/bin/sh\ngit log -1 --format=%s "$3" | grep -q '#[0-9]' || echo "$7 no ticket in the subject"\n`,
  'triggers/note': `#!/bin/sh\necho "$@" >> "$HOME/notes"\n`,
  'hooks/common/post-receive': `#!/bin/sh\nwhile read old new ref; do echo "the site saw $ref as $GL_USER"; done\n`,
  'hooks/repo-specific/no-tabs': `#!/bin/sh
while read old new ref; do
    if git log -1 --format=%s "$new" | grep -q '	'; then echo "no tabs in subjects" >&2; exit 1; fi
done
`,
};

export class GitoliteSite extends Account {
  readonly #bridge: string;
  readonly conf: string;

  /** @param repositories how many it has in all. */
  constructor(scope: Scope, programs: Programs, repositories: number) {
    super(scope, programs);
    const apps = Array.from({ length: repositories - OTHERS }, (_none, index) => `app-${twoDigits(index + 1)}`);
    this.conf = confOf(apps);
    this.#bridge = join(this.work, '..', 'sshd');
    this.put(this.#bridge, SSHD);
    chmodSync(this.#bridge, 0o755);
  }

  /** The settings, the conf and the keys, pushed. */
  async build(): Promise<void> {
    this.put('admin.pub', publicKey('admin'));
    expect(await this.gitolite(['setup', '-pk', 'admin.pub']));
    const rc = join(this.home, '.gitolite.rc');
    this.put(rc, settingsFrom(readFileSync(rc, 'utf8')));
    for (const [path, text] of Object.entries(OWN_PROGRAMS)) {
      this.put(`local/${path}`, text);
      chmodSync(join(this.home, 'local', path), 0o755);
    }
    expect(await this.gitolite(['setup']));
    const tree = join(this.work, 'building');
    expect(await this.git('admin', ['clone', '-q', 'site:gitolite-admin', tree]));
    this.put(join(tree, 'conf/gitolite.conf'), this.conf);
    this.put(join(tree, 'conf/teams/eng.conf'), TEAM_CONF);
    for (const user of USERS) this.put(join(tree, `keydir/${user}.pub`), publicKey(user));
    this.put(join(tree, 'keydir/home/ann@home.pub'), publicKey('ann@home'));
    expect(await this.git('admin', ['add', '-A'], { cwd: tree }));
    expect(await this.git('admin', ['commit', '-qm', 'the site'], { cwd: tree }));
    expect(await this.git('admin', ['push', '-q', 'origin', 'HEAD:master'], { cwd: tree }));
    for (const name of ['people/ann/notes', 'people/bob/notes', 'people/ann/deep/er'])
      expect(await this.git(name.split('/')[1] ?? '', ['ls-remote', `site:${name}`]));
  }

  /** A client of `user`, through the line of `authorized_keys` that is theirs. */
  override git(user: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const env = { SITE_USER: user, GIT_SSH: this.#bridge, ...options.env };
    return super.git(user, args, { ...options, env });
  }

  override ssh(user: string, command: string, options: RunOptions = {}): Promise<Ended> {
    return run(this.#bridge, ['site', command], { cwd: this.home, ...options, env: { ...this.env, SITE_USER: user } });
  }

  /** What the site has become, in files and refs: what two runs of the same conversation must agree about. */
  async state(): Promise<Readonly<Record<string, string>>> {
    const state: Record<string, string> = {};
    for (const name of repositoriesBelow(join(this.home, 'repositories'))) {
      const path = join(this.home, 'repositories', `${name}.git`);
      const refs = await run('git', ['for-each-ref', '--format=%(refname) %(objectname)'], {
        cwd: path,
        env: this.env,
      });
      state[`${name}: refs`] = refs.stdout;
      for (const file of ['gl-creator', 'gl-perms', 'description', 'git-daemon-export-ok', 'HEAD'])
        state[`${name}: ${file}`] = textOf(join(path, file));
      const config = await run('git', ['config', '--file', 'config', '--get-regexp', '^gitweb\\.'], {
        cwd: path,
        env: this.env,
      });
      state[`${name}: config`] = config.stdout;
    }
    for (const file of ['projects.list', 'notes', '.ssh/authorized_keys', '.gitolite/conf/gitolite.conf'])
      state[file] = textOf(join(this.home, file)).replaceAll(/command="[^" ]*\//g, 'command="');
    return state;
  }
}

function twoDigits(count: number): string {
  return String(count).padStart(2, '0');
}

/** The default settings, edited as an administrator edits them. */
function settingsFrom(text: string): string {
  return text
    .replace(/# (LOCAL_CODE +=> +"\$ENV\{HOME\}\/local")/, '$1')
    .replace(/(GIT_CONFIG_KEYS +=> +)''/, `$1'gitweb\\..*'`)
    .replace(/(WRITERS +=> +1,)/, '$1\n        TESTERS => 1,')
    .replace(/# '(D|fork|create|set-default-roles|repo-specific-hooks)'/g, `'$1'`)
    .replace(/( +)'writable',/, `$1'writable',\n$1'hello',`)
    .replace(/^( *)ENABLE =>/m, `$1POST_GIT => ['note'],\n\n$1ENABLE =>`);
}

/** A key of nobody's: only its shape counts. */
function publicKey(name: string): string {
  const key = createHash('sha256').update(name).digest();
  const field = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  return `ssh-ed25519 ${Buffer.concat([field(Buffer.from('ssh-ed25519')), field(key)]).toString('base64')} ${name}\n`;
}

function repositoriesBelow(folder: string, prefix = ''): readonly string[] {
  return readdirSync(join(folder, prefix))
    .toSorted()
    .flatMap((name) => {
      const path = `${prefix}${name}`;
      if (!statSync(join(folder, path)).isDirectory()) return [];
      return name.endsWith('.git') ? [path.slice(0, -4)] : repositoriesBelow(folder, `${path}/`);
    });
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '(none)';
  }
}

function expect(ended: Ended): void {
  if (ended.code !== 0) throw new Error(`the site was not built: ${ended.stdout}${ended.stderr}`);
}

/** Called as ssh is: host, command. Does what sshd does with the user's key. */
const SSHD = `#!/bin/sh
shift
line=$(grep "gitolite-shell $SITE_USER\\"" "$HOME/.ssh/authorized_keys" | head -n 1)
[ -n "$line" ] || { echo "Permission denied (publickey)." >&2; exit 255; }
forced=\${line#command=?}
SSH_CONNECTION='192.0.2.7 40000 192.0.2.1 22' SSH_ORIGINAL_COMMAND="$*" exec sh -c "\${forced%%\\"*}"
`;
