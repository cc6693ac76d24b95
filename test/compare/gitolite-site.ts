/** The real gitolite in a home directory of its own. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SITE, type RandomSite } from './gitolite-confs.ts';

export interface RealRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function hasGitolite(): boolean {
  return spawnSync('gitolite', ['version'], { stdio: 'ignore', env: cleanEnv(tmpdir()) }).error === undefined;
}

export class RealSite {
  readonly #home: string;

  /** @param home an empty directory, which stays. */
  constructor(home: string) {
    this.#home = home;
    this.#put('.gitolite.rc', rcText(this.#home));
    const groups = [...SITE.outerGroups].map(([user, names]) => `  ${user}) echo ${names.join(' ')} ;;`);
    this.#put('groups', `case "$1" in\n${groups.join('\n')}\nesac\n`);
    const made = this.run(['setup', '-a', 'admin']);
    if (made.code !== 0) throw new Error(`gitolite setup: ${made.stderr}`);
    for (const [folder, users] of SITE.keyGroups)
      for (const user of users) this.#put(`.gitolite/keydir/some/${folder}/${user}.pub`, 'ssh-ed25519 AAAA\n');
  }

  /** Compiles the conf, with only its repositories and the wild ones in place. */
  place({ files, wild }: RandomSite): RealRun {
    rmSync(join(this.#home, 'repositories'), { recursive: true, force: true });
    rmSync(join(this.#home, '.gitolite/conf'), { recursive: true, force: true });
    mkdirSync(join(this.#home, 'repositories'));
    for (const [path, text] of files) this.#put(`.gitolite/conf/${path}`, text);
    for (const { name, creator, permissions, groups } of wild) {
      const path = `repositories/${name}.git`;
      mkdirSync(join(this.#home, path, 'hooks'), { recursive: true });
      symlinkSync(join(this.#home, '.gitolite/hooks/common/update'), join(this.#home, path, 'hooks/update'));
      if (creator !== '') this.#put(`${path}/gl-creator`, `${creator}\n`);
      if (permissions !== '') this.#put(`${path}/gl-perms`, permissions);
      if (groups !== '') this.#put(`${path}/gl-repo-groups`, `${groups}\n`);
    }
    return this.run(['compile']);
  }

  physical(): ReadonlySet<string> {
    return new Set(
      this.run(['list-phy-repos'])
        .stdout.split('\n')
        .filter((line) => line !== ''),
    );
  }

  run(args: readonly string[], input = '', glUser = ''): RealRun {
    const env = { ...cleanEnv(this.#home), ...(glUser === '' ? {} : { GL_USER: glUser }) };
    const { status, stdout, stderr, error } = spawnSync('gitolite', args, {
      input,
      env,
      cwd: this.#home,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      timeout: 120_000,
    });
    if (error !== undefined) throw error;
    return { code: status ?? -1, stdout, stderr };
  }

  #put(path: string, text: string): void {
    const full = join(this.#home, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
  }
}

function cleanEnv(home: string): Record<string, string> {
  return {
    HOME: home,
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    LANG: 'C',
    USER: 'git',
    LOGNAME: 'git',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@example.org',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@example.org',
  };
}

function rcText(home: string): string {
  const list = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(', ');
  return `%RC = (
  UMASK => 0077,
  GIT_CONFIG_KEYS => '${SITE.configKeys.join(' ')}',
  SAFE_CONFIG => { ${[...SITE.safeConfig].map(([name, value]) => `${name} => '${value}'`).join(', ')} },
  HOSTNAME => '${SITE.hostname}',
  ROLES => { ${SITE.roles.map((role) => `${role} => 1`).join(', ')} },
  GROUPLIST_PGM => 'sh ${home}/groups',
  ENABLE => [ ${list(SITE.sugar)} ],
);
1;
`;
}
