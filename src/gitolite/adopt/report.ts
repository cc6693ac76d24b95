/** A plan and a comparison, for people and for programs. */
import type { Json } from '../../base/json.ts';
import type { Run } from '../run.ts';
import type { Comparison, Difference } from './compare.ts';
import { DATA_DIRECTORY, type Plan } from './plan.ts';
import type { Feature } from './survey.ts';

export function planText(run: Run, plan: Plan): string {
  const { survey, old, changes, blockers, warnings } = plan;
  const { rc } = run;
  const parts = [
    section(`The gitolite site of ${plan.home}`, [
      ['conf', `${rc.adminBase}/conf/gitolite.conf`],
      [
        'repositories',
        `${survey.physical.length} on disk below ${rc.repositoryBase}, ${survey.wild} of them somebody's own`,
      ],
      ['users', `${survey.users.length}, ${survey.keys} key files`],
      ['gitolite', old === undefined ? 'not found on this machine' : `${old.version}, ${old.program}`],
    ]),
    section(
      changes.length === 0 ? 'Nothing has to be changed: the site is taken over' : 'Will be changed',
      changesOf(plan),
    ),
    section('Will be made when the first client comes', [
      [`${plan.home}/${DATA_DIRECTORY}`, "the gate's own data: its journal, its caches, its socket"],
    ]),
    section('Stays as it is, and stays the truth', [
      ['repositories', 'where they lie, with gl-creator, gl-perms, config and description'],
      ['conf, keydir', 'pushed with gitolite-admin as ever'],
      ['settings', `${plan.home}/.gitolite.rc`],
      ['log', 'the same file, the same lines'],
    ]),
    ...(['built in', 'own program', 'not supported'] as const).map((fate) =>
      section(TITLES[fate], rowsOf(survey.features.filter((feature) => feature.fate === fate))),
    ),
    section(
      'Settings without effect here',
      survey.settings.map((text) => ['', text]),
    ),
    section(
      'Worth knowing',
      warnings.map((text) => ['', text]),
    ),
    section(
      'In the way',
      blockers.map((text) => ['', text]),
    ),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

const TITLES: Readonly<Record<Feature['fate'], string>> = {
  'built in': 'Built in',
  'own program': "Run as the site's own programs",
  'not supported': 'Not supported',
};

function changesOf({ changes }: Plan): readonly Row[] {
  return changes.map(({ path, kind, what }) => [path, kind === 'remove' ? `removed: ${what}` : what]);
}

/** Those with nothing to say about share a line. */
function rowsOf(features: readonly Feature[]): readonly Row[] {
  const kinds = [...new Set(features.map(({ kind }) => kind))];
  return kinds.flatMap((kind): readonly Row[] => {
    const own = features.filter((feature) => feature.kind === kind);
    const quiet = own.filter(({ note }) => note === undefined).map(({ name }) => name);
    const told = own.filter(({ note }) => note !== undefined);
    return [
      ...(quiet.length === 0 ? [] : [[kind, quiet.join(', ')] as const]),
      ...told.map(({ name, note = '' }) => [kind, `${name}: ${note}`] as const),
    ];
  });
}

type Row = readonly [string, string];

function section(title: string, rows: readonly Row[]): string {
  if (rows.length === 0) return title.startsWith('Nothing') ? `${title}\n` : '';
  const width = Math.max(...rows.map(([name]) => name.length));
  return `${title}\n${rows.map(([name, text]) => `  ${name === '' ? '' : `${name.padEnd(width)}  `}${text}\n`).join('')}`;
}

export function planJson(run: Run, plan: Plan): Json {
  const { survey, old, changes, blockers, warnings } = plan;
  return {
    home: plan.home,
    repositoryBase: run.rc.repositoryBase,
    adminBase: run.rc.adminBase,
    gitolite: old === undefined ? null : { ...old },
    repositories: { onDisk: survey.physical.length, wild: survey.wild },
    users: survey.users.length,
    keys: survey.keys,
    dataDirectory: `${plan.home}/${DATA_DIRECTORY}`,
    changes: changes.map((change) => ({ ...change })),
    features: survey.features.map((feature) => ({ ...feature })),
    settingsWithoutEffect: [...survey.settings],
    warnings: [...warnings],
    blockers: [...blockers],
  };
}

export function comparisonText(comparison: Comparison, seconds: number): string {
  const { decisions, possible, users, repositories, configs, lists, differences, differing } = comparison;
  const of = possible > decisions ? ` of ${possible} possible (--decisions asks more)` : '';
  const head =
    `Asked both: ${decisions} decisions${of} about ${users} users and ${repositories} repositories, ` +
    `${configs} config values, ${lists} lists, in ${seconds.toFixed(1)} s\n`;
  if (differing === 0) return `${head}No difference.\n`;
  const more = differing > differences.length ? `and ${differing - differences.length} more\n` : '';
  return `${head}${differing} differences:\n${differences.map(differenceText).join('')}${more}`;
}

function differenceText({ question, old, ours, oldPlace, oursPlace }: Difference): string {
  const at = (place: string | undefined): string => (place === undefined ? '' : ` (${place})`);
  return `  ${question}\n    gitolite:  ${old}${at(oldPlace)}\n    gatehouse: ${ours}${at(oursPlace)}\n`;
}

export function comparisonJson(comparison: Comparison): Json {
  return { ...comparison, differences: comparison.differences.map((difference) => ({ ...difference })) };
}
