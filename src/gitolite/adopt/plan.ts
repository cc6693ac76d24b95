/** What taking a site over changes, and what it leaves: made by looking only. Nothing moves and no rule is rewritten. */
import assert from 'node:assert/strict';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { compileConf } from '../../access/gitolite/compile-conf.ts';
import { ConfPolicy } from '../../access/gitolite/conf-policy.ts';
import { DEFAULT_SETTINGS } from '../../access/gitolite/conf-settings.ts';
import { readSources } from '../conf-sources.ts';
import { linkStatOf, statOf, targetOf, textOf } from '../disk.ts';
import { SITE_HOOKS } from '../hooks.ts';
import { IN_FORCE_FILE } from '../in-force.ts';
import type { Run } from '../run.ts';
import type { SiteConf } from '../site.ts';
import { dies, fatalText } from '../words.ts';
import { readManifest } from './backup.ts';
import { readKeyLines, readKeysFile, type KeyLines } from './keys-file.ts';
import { findOldGitolite, type OldGitolite } from './old-gitolite.ts';
import { PERL_MODULE, surveySite, type Survey } from './survey.ts';

export interface Change {
  /** `keys`: lines of authorized_keys; `file`: its whole text; `link`; `remove`. */
  readonly kind: 'keys' | 'file' | 'link' | 'remove';
  readonly path: string;
  readonly what: string;
}

export interface Plan {
  readonly home: string;
  readonly survey: Survey;
  readonly conf: SiteConf;
  readonly keys: KeyLines;
  readonly old: OldGitolite | undefined;
  readonly changes: readonly Change[];
  /** Why it cannot be taken over as it is. */
  readonly blockers: readonly string[];
  /** What a person should know. */
  readonly warnings: readonly string[];
}

/** Where the gate keeps what is its own: below GL_ADMIN_BASE's usual place, whatever the settings say. */
export const DATA_DIRECTORY = '.gitolite/gatehouse';

/** @throws `dies` where there is no site, or its settings or conf cannot be read. */
export async function planAdoption(run: Run): Promise<Plan> {
  const { rc, site } = run;
  if (statOf(join(rc.adminBase, 'conf/gitolite.conf'))?.isFile() !== true)
    throw dies(`there is no gitolite site in ${rc.home}: ${rc.adminBase}/conf/gitolite.conf is missing`);
  const owner = statOf(rc.adminBase)?.uid;
  if (owner !== process.getuid?.()) throw dies(`run this as the account that owns ${rc.adminBase} (user id ${owner})`);
  const { conf, problems } = confAsItIs(run);
  const survey = await surveySite(run, conf);
  const keys = readKeyLines(readKeysFile(site.home));
  const ownShell = shellOf(run);
  const theirs = [...keys.shells.keys()].filter((shell) => shell !== ownShell);
  const manifest = readManifest(rc);
  const known = manifest?.oldShell === undefined ? theirs : [...theirs, manifest.oldShell];
  return {
    home: site.home,
    survey,
    conf,
    keys,
    old: await findOldGitolite(run, known),
    changes: changesFor(run, theirs.length > 0 ? keys : undefined, manifest !== undefined),
    blockers: [...problems, ...blockersIn(run, survey)],
    warnings: warningsAbout(run, keys),
  };
}

export function shellOf({ rc }: Pick<Run, 'rc'>): string {
  return join(rc.binDirectory, 'gitolite-shell');
}

/** The files as they lie there: what was in force under the old gitolite was compiled from the same. */
function confAsItIs({ rc }: Run): { readonly conf: SiteConf; readonly problems: readonly string[] } {
  try {
    const result = compileConf({ ...readSources(rc), folder: 'conf/' });
    if (result.kind === 'ok') {
      const { compiled } = result;
      return { conf: { compiled, policy: new ConfPolicy(compiled, rc.roles), revision: 0 }, problems: [] };
    }
    const problems = result.problems.map(({ file, line, message }) => `${file}:${line}: ${message}`);
    return { conf: emptyConf(), problems };
  } catch (error) {
    return {
      conf: emptyConf(),
      problems: [
        fatalText(error)
          .replace(/^FATAL: /, '')
          .trim(),
      ],
    };
  }
}

function emptyConf(): SiteConf {
  const result = compileConf({ files: new Map([['gitolite.conf', '']]), settings: DEFAULT_SETTINGS });
  assert(result.kind === 'ok', 'an empty conf compiles');
  const { compiled } = result;
  return { compiled, policy: new ConfPolicy(compiled, DEFAULT_SETTINGS.roles), revision: 0 };
}

function changesFor(run: Run, keys: KeyLines | undefined, isAdopted: boolean): readonly Change[] {
  const { rc } = run;
  const changes: Change[] = [];
  if (keys !== undefined) {
    const own = keys.shells.get(shellOf(run)) ?? 0;
    const lines = [...keys.shells.values()].reduce((sum, count) => sum + count, 0) - own;
    const from = [...keys.shells.keys()].filter((shell) => shell !== shellOf(run)).join(', ');
    const what = `${lines} generated lines start ${shellOf(run)} instead of ${from}`;
    changes.push({ kind: 'keys', path: join(rc.home, '.ssh/authorized_keys'), what });
  }
  for (const [name, text] of SITE_HOOKS) {
    const path = join(rc.adminBase, 'hooks', name);
    if (textOf(path) !== text)
      changes.push({ kind: 'file', path, what: 'a hook for pushes that go around the gate; the links to it stay' });
  }
  for (const name of ['gitolite', 'gitolite-shell']) {
    const path = join(rc.home, 'bin', name);
    if (linkStatOf(path)?.isSymbolicLink() === true && !isOwn(path, join(rc.binDirectory, name)))
      changes.push({
        kind: 'link',
        path,
        what: `a link to ${join(rc.binDirectory, name)} instead of ${targetOf(path)}`,
      });
  }
  const inForce = join(rc.adminBase, IN_FORCE_FILE);
  if (!isAdopted && linkStatOf(inForce) !== undefined)
    changes.push({ kind: 'remove', path: inForce, what: 'rules kept by an earlier adoption; the conf counts' });
  return changes;
}

function isOwn(path: string, own: string): boolean {
  try {
    return realpathSync(path) === realpathSync(own);
  } catch {
    return false;
  }
}

function blockersIn({ rc }: Run, survey: Survey): readonly string[] {
  const blockers = survey.features
    .filter(({ kind, fate }) => kind === 'sugar' && fate === 'not supported')
    .map(
      ({ name }) =>
        `the settings enable ${name}, which rewrites the conf and is Perl: write out what it does, and disable it`,
    );
  for (const { kind, name, fate, note } of survey.features)
    if (kind === 'trigger' && fate === 'not supported' && note === PERL_MODULE)
      blockers.push(`the settings list the trigger ${name}, which is a Perl module: every request would die of it`);
  if (!/^[-\w./+@]+$/.test(rc.binDirectory))
    blockers.push(
      `${rc.binDirectory} cannot stand in an authorized_keys line: install Gatehouse where the path is plain`,
    );
  return blockers;
}

function warningsAbout({ rc }: Run, keys: KeyLines): readonly string[] {
  const warnings: string[] = [];
  const isMirrored =
    rc.hostname !== undefined && (rc.triggers.get('PRE_GIT') ?? []).some((line) => line.startsWith('Mirroring::'));
  if (isMirrored)
    warnings.push(
      `Mirroring is on: ${rc.hostname} pushes to copies as a master; where it is a copy, its master can no longer push here`,
    );
  if (keys.byHand > 0)
    warnings.push(
      `${keys.byHand} lines of authorized_keys outside of gitolite's marks start a gitolite-shell: change them by hand`,
    );
  if (keys.shells.size === 0)
    warnings.push(
      'no line of authorized_keys starts a gitolite-shell: clients come some other way, which has to be changed by hand',
    );
  if (newestConf(rc.adminBase) > (statOf(join(rc.adminBase, 'conf/gitolite.conf-compiled.pm'))?.mtimeMs ?? Infinity))
    warnings.push('the conf is newer than what the old gitolite compiled: its answers are about the old one');
  return warnings;
}

function newestConf(adminBase: string): number {
  return statOf(join(adminBase, 'conf/gitolite.conf'))?.mtimeMs ?? 0;
}
