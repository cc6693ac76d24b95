/** The rules about CI identities that are in force: an annex of the policy (`annex.ts`). */
import { BOUNDS } from '../../base/bounds.ts';
import type { AnnexCompiled, PolicyAnnex } from '../annex.ts';
import type { PolicySources } from '../compile.ts';
import { fileProblem, type Problem } from '../problem.ts';
import { readTrustFile, type TrustRule } from './trust-file.ts';

export class Trusts implements PolicyAnnex {
  readonly name = 'passes for CI identities';
  readonly #lifeMsMax: number;
  #rules: readonly TrustRule[] = [];

  constructor(options: { readonly passLifeMsMax: number }) {
    this.#lifeMsMax = options.passLifeMsMax;
  }

  /** In the order of file names, and of a file. */
  get rules(): readonly TrustRule[] {
    return this.#rules;
  }

  owns(path: string): boolean {
    return path.startsWith('oidc/');
  }

  compile(sources: PolicySources): AnnexCompiled {
    const rules: TrustRule[] = [];
    const problems: Problem[] = [];
    for (const [file, text] of [...sources].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const read = readTrustFile(file, text, this.#lifeMsMax);
      if (read.kind === 'wrong') problems.push(...read.problems);
      else rules.push(...read.rules);
    }
    if (rules.length > BOUNDS.trustRulesMax)
      problems.push(fileProblem('oidc/', `there are at most ${BOUNDS.trustRulesMax} rules`));
    if (problems.length > 0) return { kind: 'wrong', problems };
    const adopt = (): void => {
      this.#rules = rules;
    };
    return { kind: 'ok', adopt, warnings: [] };
  }
}
