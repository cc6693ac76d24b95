/**
 * Files of the policy that are not rules: `oidc/*.toml`, `secrets/*.toml`, `checks/*.toml`. The part that obeys such files is
 * an annex: the policy compiles it with the rules, refuses both together, and puts both in force at once.
 */
import type { PolicySources } from './compile.ts';
import { fileProblem, type Problem } from './problem.ts';

export interface PolicyAnnex {
  /** For people: `passes for CI identities`. */
  readonly name: string;
  /** Whether a file of the policy repository is this annex's. At most one annex owns a path. */
  owns(path: string): boolean;
  /**
   * Reads the annex's own files, and those only; no file at all is a valid annex, which grants and checks nothing. Changes
   * nothing by itself: `adopt` does, at once and without failing.
   */
  compile(sources: PolicySources): AnnexCompiled;
}

export type AnnexCompiled =
  | { readonly kind: 'ok'; readonly adopt: () => void; readonly warnings: readonly Problem[] }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[] };

export interface AnnexesCompiled {
  /** Puts all of them in force; present where none is wrong. */
  readonly adopt?: () => void;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** All annexes of one policy. An annex that throws is a wrong one: its files are what people wrote. */
export function compileAnnexes(annexes: readonly PolicyAnnex[], sources: PolicySources): AnnexesCompiled {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const adopts: (() => void)[] = [];
  for (const annex of annexes) {
    const compiled = compileOne(annex, new Map([...sources].filter(([path]) => annex.owns(path))));
    if (compiled.kind === 'wrong') {
      problems.push(...compiled.problems);
      continue;
    }
    warnings.push(...compiled.warnings);
    adopts.push(compiled.adopt);
  }
  if (problems.length > 0) return { problems, warnings };
  const adopt = (): void => {
    for (const one of adopts) one();
  };
  return { adopt, problems, warnings };
}

function compileOne(annex: PolicyAnnex, own: PolicySources): AnnexCompiled {
  try {
    return annex.compile(own);
  } catch (error) {
    const what = error instanceof Error ? error.name : 'unknown failure';
    const [file = annex.name] = own.keys();
    return { kind: 'wrong', problems: [fileProblem(file, `could not be read (${what})`)] };
  }
}
