/**
 * The hooks directories of a site, and the links to them in each repository. Pushes come through the gate, which decides
 * by itself: the scripts here are for a git that somebody runs in a repository without it.
 */
import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { repositoryPath, targetOf, writeText } from './disk.ts';
import type { Rc } from './rc.ts';

export const ADMIN_REPOSITORY = 'gitolite-admin';

/** What the gate keeps beside the conf: its data, and what was there before it took the site over. */
export const GATE_NAMES = ['gatehouse', 'before-gatehouse'] as const;

/** Logged as gitolite logs it: an administrator on the server goes around the rules. */
const UPDATE_HOOK = `#!/bin/sh
# Pushes come through the gate, which decides about them and does not run this file. A git that runs it goes around the
# gate, which only an administrator on the server may do, with 'gitolite push'.

if [ -n "$GL_BYPASS_ACCESS_CHECKS" ]; then
    if [ -n "$GL_LOGFILE" ]; then
        printf '%s\\t%s\\tupdate\\t%s\\t(%s)\\tbypass\\t%s\\t%s\\t%s\\n' "$(date +%Y-%m-%d.%H:%M:%S)" "\${GL_TID:-$$}" \\
            "$PWD" "\${USER:-?}" "$1" "$2" "$3" >>"$GL_LOGFILE"
    fi
    exit 0
fi

echo "FATAL: this push does not come through the gate; on the server, use 'gitolite push'" >&2
exit 1
`;

const POST_UPDATE_HOOK = `#!/bin/sh
# After a push that went around the gate: puts the conf that came with it in force.

for ref; do
    [ "$ref" = refs/heads/master ] && found=1
done
[ -n "$found" ] || exit 0

if git ls-tree --name-only master | grep -Eqx 'hooks|logs'; then
    echo "FATAL: no files/dirs called 'hooks' or 'logs' are allowed" >&2
    exit 1
fi
if git ls-tree --name-only master | grep -Eqx '${GATE_NAMES.join('|')}'; then
    echo "FATAL: no files/dirs called '${GATE_NAMES.join("' or '")}' are allowed" >&2
    exit 1
fi

GL_ADMIN_BASE=\${GL_ADMIN_BASE:-$(gitolite query-rc GL_ADMIN_BASE)}
changed=$(GIT_WORK_TREE=$GL_ADMIN_BASE git diff --name-only master | grep -c /hooks/common/)
GIT_WORK_TREE=$GL_ADMIN_BASE git checkout -f --quiet master

gitolite compile || exit
[ "$changed" = 0 ] || gitolite setup --hooks-only || exit
exec gitolite trigger POST_COMPILE
`;

/** Path below `hooks` -> text. */
export const SITE_HOOKS: ReadonlyMap<string, string> = new Map([
  ['common/update', UPDATE_HOOK],
  ['gitolite-admin/post-update', POST_UPDATE_HOOK],
]);

/** Writes the site's own hooks anew, in case somebody changed them. Once in a run is enough. */
export function resetHooks(rc: Rc): void {
  const folder = `${rc.adminBase}/hooks`;
  for (const [path, text] of SITE_HOOKS) {
    const full = `${folder}/${path}`;
    makeDirectory(full.slice(0, full.lastIndexOf('/')), rc);
    writeText(full, text, rc);
    chmodSync(full, 0o755);
  }
}

/** What is linked into each repository, by name: the site's own first, so that gitolite's stand where both are. */
export interface HookLinks {
  readonly common: ReadonlyMap<string, string>;
  /** Of gitolite-admin only. */
  readonly admin: ReadonlyMap<string, string>;
}

export function hookLinks(rc: Rc): HookLinks {
  const own = rc.localCode === undefined ? [] : targetsIn(`${rc.localCode}/hooks/common`);
  return {
    common: new Map([...own, ...targetsIn(`${rc.adminBase}/hooks/common`)]),
    admin: new Map(targetsIn(`${rc.adminBase}/hooks/gitolite-admin`)),
  };
}

export function hookRepository(rc: Rc, name: string, links: HookLinks = hookLinks(rc)): void {
  const hooks = `${repositoryPath(rc, name)}/hooks`;
  makeDirectory(hooks, rc);
  for (const [hook, target] of [...links.common, ...(name === ADMIN_REPOSITORY ? links.admin : [])]) {
    const link = `${hooks}/${hook}`;
    if (targetOf(link) === target) continue;
    rmSync(link, { force: true });
    symlinkSync(target, link);
  }
}

function targetsIn(folder: string): readonly (readonly [string, string])[] {
  return visibleNames(folder).map((name) => [name, `${folder}/${name}`]);
}

/** As the shell's `*` finds them. */
function visibleNames(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => !name.startsWith('.'));
  } catch {
    return [];
  }
}

/** With its parents, each with what the site's umask leaves. */
export function makeDirectory(path: string, { umask }: Pick<Rc, 'umask'>): void {
  const first = mkdirSync(path, { recursive: true });
  if (first === undefined) return;
  for (let at = path; at.length >= first.length; at = at.slice(0, at.lastIndexOf('/'))) chmodSync(at, 0o777 & ~umask);
}
