/** What `policy check`, `policy scenarios` and `rules REPO check` are answered with. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BOUNDS } from '../base/bounds.ts';
import { Fault } from '../base/fault.ts';
import { checkPolicy, type PolicyCheck } from './check.ts';
import { isPolicyPath, POLICY_FOLDERS, type PolicySources } from './compile.ts';
import type { PolicyHolder } from './holder.ts';
import { checkRepositoryRules } from './own-rules.ts';
import { renderProblem } from './problem.ts';

export interface DeskReport {
  /** `gatehouse-admin at 1234abcd`, a directory. */
  readonly source: string;
  readonly rules: readonly string[];
  /** Problems of the files themselves, each a few lines; failed scenarios are told with the scenarios. */
  readonly problems: readonly string[];
  readonly scenarios: readonly { readonly name: string; readonly passed: boolean; readonly failure?: string }[];
}

type DeskHolder = Pick<PolicyHolder, 'origin' | 'sources' | 'annexes'>;

export class PolicyDesk {
  readonly #holder: DeskHolder;

  constructor(holder: DeskHolder) {
    this.#holder = holder;
  }

  async active(): Promise<DeskReport> {
    const { origin, sources } = this.#holder;
    if (origin.oid === undefined)
      return { source: 'no policy', rules: [], problems: ['no policy is in force'], scenarios: [] };
    const kept = origin.source === 'last-good' ? ' (the last good one: HEAD is wrong)' : '';
    return reportOf(`gatehouse-admin at ${origin.oid.slice(0, 8)}${kept}`, checkPolicy(sources, this.#holder.annexes));
  }

  /** @throws Fault `missing` where the directory cannot be read. */
  async inDirectory(path: string): Promise<DeskReport> {
    return reportOf(path, checkPolicy(await readPolicyDirectory(path), this.#holder.annexes));
  }

  problemsOfOwnRules(text: string): readonly string[] {
    const problem = checkRepositoryRules(text);
    return problem === undefined ? [] : [renderProblem(problem)];
  }
}

function reportOf(source: string, check: PolicyCheck): DeskReport {
  const failures = new Set(check.scenarios.map(({ failure }) => failure));
  const scenarios = check.scenarios.map(({ name, failure }) => ({
    name,
    passed: failure === undefined,
    ...(failure === undefined ? {} : { failure: renderProblem(failure) }),
  }));
  const problems = check.problems.filter((problem) => !failures.has(problem)).map(renderProblem);
  return { source, rules: check.rules, problems, scenarios };
}

/** @throws Fault `missing`, `bad-input` where it is too large. */
async function readPolicyDirectory(path: string): Promise<PolicySources> {
  const sources = new Map<string, string>();
  let bytes = 0;
  for (const folder of POLICY_FOLDERS) {
    for (const name of await namesIn(path, folder)) {
      const file = `${folder}/${name}`;
      if (!isPolicyPath(file)) continue;
      bytes += (await stat(join(path, file))).size;
      if (bytes > BOUNDS.policyBytesMax) {
        throw new Fault('bad-input', 'policy is too large', {
          publicMessage: `a policy has at most ${BOUNDS.policyBytesMax} bytes`,
        });
      }
      sources.set(file, await readFile(join(path, file), 'utf8'));
    }
  }
  return sources;
}

/** A folder that is not there is empty; a directory that is not there is a mistake. */
async function namesIn(path: string, folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(join(path, folder), { recursive: folder === 'conf' })).toSorted();
  } catch (cause) {
    if (folder !== 'rules') return [];
    throw new Fault('missing', 'policy directory cannot be read', {
      cause,
      publicMessage: `there is no directory ${join(path, folder)}`,
    });
  }
}
