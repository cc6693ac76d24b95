/** What a site is made of, and what becomes of each part: built in here, run as the site's own program, or not supported. */
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { SUGARS } from '../../access/gitolite/conf-settings.ts';
import { isPlainWord, isUserWord } from '../../access/gitolite/words.ts';
import { SITE_COMMANDS } from '../commands/all.ts';
import { filesBelow } from '../conf-sources.ts';
import { linkStatOf, repositoryPath, statOf } from '../disk.ts';
import { findProgram } from '../programs.ts';
import { TRIGGER_POINTS, type Rc } from '../rc.ts';
import type { Run } from '../run.ts';
import type { SiteConf, SiteRepository } from '../site.ts';
import { BUILT_IN_TRIGGERS } from '../triggers/all.ts';
import { BUILT_IN_VREFS } from '../vref/all.ts';

export interface Feature {
  readonly kind: 'trigger' | 'command' | 'VREF' | 'sugar' | 'hook';
  /** `ACCESS_1: expand-deny-messages`, `fork`, `COUNT`. */
  readonly name: string;
  readonly fate: 'built in' | 'own program' | 'not supported';
  /** The program, where it is the site's own; why, where it is not supported; what is different. */
  readonly note?: string;
}

export interface Survey {
  readonly users: readonly string[];
  readonly keys: number;
  /** On disk. */
  readonly physical: readonly string[];
  /** On disk, and somebody's. */
  readonly wild: number;
  /** On disk, and those that the conf names. */
  readonly repositories: readonly SiteRepository[];
  readonly features: readonly Feature[];
  /** What the settings say that has no effect here, as `file:line: what`. */
  readonly settings: readonly string[];
}

/** Beside those of `BUILT_IN_VREFS`: part of the core, and one that needs the site. */
const OTHER_VREFS = new Set(['NAME', 'partial-copy']);

/** Why a trigger is not supported. */
export const PERL_MODULE = 'it is a Perl module';

/** Hooks that a push runs here. */
const RUN_HOOKS = new Set(['pre-receive', 'update', 'post-receive', 'post-update']);

const NOTES: ReadonlyMap<string, string> = new Map([
  ['Mirroring::input', 'a server that pushes here is refused: this can be a master, not a copy'],
  ['Mirroring::pre_git', 'a copy takes no pushes, and they are not sent on to the master'],
  ['CpuTime::post_git', 'elapsed time and the processor time of the gate; not that of git'],
  ['renice', "only the client's own process gets nicer"],
  ['Shell::input', 'commands run; there is no terminal'],
]);

export async function surveySite(run: Run, { compiled }: SiteConf): Promise<Survey> {
  const { rc, site } = run;
  const keys = filesBelow(join(rc.adminBase, 'keydir'), '.pub');
  const physical = await site.physical(rc, { anew: true });
  const named = [...compiled.conf.stanzas.keys(), ...[...compiled.conf.groups.values()].flatMap((group) => [...group])];
  const inConf = new Set(named.filter((name) => isPlainWord(name) && !name.startsWith('@')));
  const users = usersIn(compiled.conf, keys);
  const repositories: SiteRepository[] = [];
  // A user may be in a group as a repository may: names that stand behind `repo` only, or lie on disk, are repositories.
  const names = [...physical, ...[...compiled.conf.stanzas.keys()].filter((name) => inConf.has(name))];
  for (const name of new Set(names)) repositories.push(await site.repository(rc, name));
  return {
    users,
    keys: keys.length,
    physical,
    wild: repositories.filter(({ exists, creator }) => exists && creator !== '').length,
    repositories,
    features: await featuresOf(run, compiled.conf.refexes, physical),
    settings: rc.notUnderstood,
  };
}

function isBuiltInVref(name: string): boolean {
  return BUILT_IN_VREFS.has(name) || OTHER_VREFS.has(name);
}

function usersIn(conf: SiteConf['compiled']['conf'], keys: readonly string[]): readonly string[] {
  const inRules = [...conf.stanzas.values()].flat().flatMap(({ rules }) => [...rules.keys()]);
  const groups = new Set(inRules.filter((name) => name.startsWith('@')));
  const members = [...groups].flatMap((group) => [...(conf.groups.get(group) ?? [])]);
  const ofKeys = keys.map((path) => basename(path).replace(/(@[^.]+)?\.pub$/, ''));
  const all = [...inRules, ...members, ...ofKeys];
  return [...new Set(all.filter((name) => isUserWord(name) && !name.startsWith('@')))].sort();
}

async function featuresOf(
  run: Run,
  refexes: ReadonlySet<string>,
  physical: readonly string[],
): Promise<readonly Feature[]> {
  const { rc } = run;
  const features: Feature[] = [];
  for (const point of TRIGGER_POINTS)
    for (const line of rc.triggers.get(point) ?? []) features.push(await triggerFeature(rc, point, line));
  for (const name of rc.commands.keys())
    features.push(await programFeature(rc, 'commands', name, SITE_COMMANDS.has(name)));
  for (const name of rc.sugar) {
    const isOurs = (SUGARS as readonly string[]).includes(name);
    features.push({
      kind: 'sugar',
      name,
      ...(isOurs ? { fate: 'built in' } : { fate: 'not supported', note: 'it is Perl that rewrites the conf' }),
    });
  }
  const virtual = [...refexes].flatMap((refex) => /^VREF\/([^/]+)/.exec(refex)?.[1] ?? []);
  for (const name of new Set(virtual)) features.push(await programFeature(rc, 'VREF', name, isBuiltInVref(name)));
  return [...features, ...hookFeatures(rc, physical)];
}

async function triggerFeature(rc: Rc, point: string, line: string): Promise<Feature> {
  const words = line.split(/\s+/);
  const name = (words[0] === 'bg' ? words[1] : words[0]) ?? '';
  const about = { kind: 'trigger', name: `${point}: ${line}` } as const;
  const program = /::\w+$/.test(name) ? undefined : await findProgram(rc, 'triggers', name);
  if (program !== undefined) return { ...about, fate: 'own program', note: program };
  const note = NOTES.get(name);
  if (BUILT_IN_TRIGGERS.has(name)) return { ...about, fate: 'built in', ...(note === undefined ? {} : { note }) };
  const why = /::\w+$/.test(name) ? PERL_MODULE : `there is no program triggers/${name} in LOCAL_CODE`;
  return { ...about, fate: 'not supported', note: why };
}

async function programFeature(rc: Rc, where: 'commands' | 'VREF', name: string, isBuiltIn: boolean): Promise<Feature> {
  const about = { kind: where === 'VREF' ? 'VREF' : 'command', name } as const;
  const program = await findProgram(rc, where, name);
  if (program !== undefined) return { ...about, fate: 'own program', note: program };
  if (isBuiltIn) return { ...about, fate: 'built in' };
  return { ...about, fate: 'not supported', note: `there is no program ${where}/${name} in LOCAL_CODE` };
}

/** Of the site, and those that somebody put into repositories by hand. */
function hookFeatures(rc: Rc, physical: readonly string[]): readonly Feature[] {
  const found = new Map<string, string[]>();
  const add = (hook: string, place: string): void => {
    found.set(hook, [...(found.get(hook) ?? []), place]);
  };
  for (const folder of [rc.localCode, rc.adminBase]) {
    if (folder === undefined) continue;
    const isOwn = folder === rc.adminBase;
    for (const name of namesIn(join(folder, 'hooks/common')))
      if (!(isOwn && name === 'update') && !name.includes('.')) add(name, join(folder, 'hooks/common', name));
  }
  for (const repository of physical) {
    const hooks = join(repositoryPath(rc, repository), 'hooks');
    for (const name of namesIn(hooks)) {
      const path = join(hooks, name);
      if (!name.includes('.') && linkStatOf(path)?.isFile() === true && isRunnable(path)) add(name, path);
    }
  }
  return [...found].map(([name, places]) => ({
    kind: 'hook',
    name,
    ...(RUN_HOOKS.has(name)
      ? { fate: 'own program', note: placesText(places) }
      : { fate: 'not supported', note: `no push runs it here: ${placesText(places)}` }),
  }));
}

function placesText(places: readonly string[]): string {
  const [first = ''] = places;
  return places.length === 1 ? first : `${first} and ${places.length - 1} more`;
}

function isRunnable(path: string): boolean {
  return ((statOf(path)?.mode ?? 0) & 0o111) !== 0;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
