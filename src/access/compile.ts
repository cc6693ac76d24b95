/**
 * A policy from its sources: `rules/main.lace` and what it includes, and `conf/gitolite.conf` where there is one.
 * All or nothing; what is wrong comes back as problems with file, line and carets.
 */
import { Buffer } from 'node:buffer';
import { BOUNDS } from '../base/bounds.ts';
import { createGitanoHost } from './gitano/host.ts';
import type { Asked } from './gitano/asked.ts';
import { SITE_STATES_MAX } from './gitano/pattern-store.ts';
import { CONF_FOLDER } from './gitolite/conf-policy.ts';
import { compileSiteConf } from './gitolite/site-conf.ts';
import { compileLace } from './lace/compiler.ts';
import type { Loaded, Program } from './lace/language.ts';
import { LacePolicy } from './lace-policy.ts';
import { OwnRulesCache } from './own-rules.ts';
import type { Policy } from './policy.ts';
import { fileProblem, problemOf, type Problem } from './problem.ts';
import { SitePolicy } from './site-policy.ts';

/** Path in the policy repository -> text. */
export type PolicySources = ReadonlyMap<string, string>;

export const POLICY_ENTRY = 'rules/main.lace';

export type CompiledPolicy =
  | { readonly kind: 'ok'; readonly policy: Policy; readonly warnings: readonly Problem[] }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[] };

/** Folders of the policy repository that hold files of the policy. */
export const POLICY_FOLDERS = ['rules', 'scenarios', 'conf', 'secrets', 'checks', 'oidc'] as const;

/** Whether a file of the policy repository belongs to the policy. The last three folders are annexes' (`annex.ts`). */
export function isPolicyPath(path: string): boolean {
  return (
    /^rules\/[^/]+\.lace$/.test(path) ||
    /^scenarios\/[^/]+\.yarn$/.test(path) ||
    /^conf\/(?:.+\.conf|gitolite\.toml)$/.test(path) ||
    /^(?:secrets|checks|oidc)\/[^/]+\.toml$/.test(path)
  );
}

export function scenarioSources(sources: PolicySources): ReadonlyMap<string, string> {
  return new Map([...sources].filter(([path]) => path.startsWith('scenarios/')));
}

export function compilePolicy(sources: PolicySources): CompiledPolicy {
  let bytes = 0;
  for (const [path, text] of sources) bytes += Buffer.byteLength(path) + Buffer.byteLength(text);
  if (bytes > BOUNDS.policyBytesMax) {
    return {
      kind: 'wrong',
      problems: [fileProblem(POLICY_ENTRY, `a policy has at most ${BOUNDS.policyBytesMax} bytes`)],
    };
  }
  const entry = sources.get(POLICY_ENTRY);
  if (entry === undefined) {
    return { kind: 'wrong', problems: [fileProblem(POLICY_ENTRY, 'the entry of the rules is missing')] };
  }
  const ownRules = new OwnRulesCache();
  const host = createGitanoHost((name) => loadFrom(sources, ownRules, name), SITE_STATES_MAX);
  const compiled = compileLace(host, POLICY_ENTRY, { text: entry });
  if (compiled.kind === 'wrong') return { kind: 'wrong', problems: [problemOf(compiled.error)] };
  const { program } = compiled;
  const lace = new LacePolicy({ program, mentions: host.mentions, ownRules });
  const conf = compileSiteConf(sources);
  if (conf?.kind === 'wrong') return conf;
  const warnings = [...warningsOf(program), ...(conf?.warnings ?? [])];
  return { kind: 'ok', policy: conf === undefined ? lace : new SitePolicy(lace, conf.policy), warnings };
}

/** Files with rules, of either language. */
export function ruleFiles(sources: PolicySources): readonly string[] {
  return [...sources.keys()].filter((path) => path.startsWith('rules/') || path.startsWith(CONF_FOLDER));
}

function loadFrom(sources: PolicySources, ownRules: OwnRulesCache, name: string): Loaded<Asked> {
  if (name === 'main') {
    return {
      kind: 'late',
      resolve({ question }) {
        const text = question.repository?.rules;
        if (text === undefined) return undefined;
        const own = ownRules.get(text);
        return own.kind === 'ok' ? own.program : own.error;
      },
    };
  }
  if (!name.startsWith('global:')) {
    return {
      kind: 'missing',
      message: `No such ruleset: ${name} (a file of the site is global:NAME, the repository's own rules are main)`,
    };
  }
  const path = `rules/${name.slice('global:'.length)}.lace`;
  const text = sources.get(path);
  return text === undefined
    ? { kind: 'missing', message: `No such ruleset: ${path}` }
    : { kind: 'text', name: path, text };
}

function warningsOf(program: Program<Asked>): readonly Problem[] {
  return program.warnings.map(({ source, line, message }) => ({
    ...fileProblem(source.name, message),
    line,
    text: source.lines[line - 1]?.text ?? '',
  }));
}
