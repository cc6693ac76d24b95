/** A file of the policy that is TOML. */
import { parse, TomlError } from 'smol-toml';
import { fileProblem, type Problem } from './problem.ts';

export type TomlFile =
  | { readonly kind: 'ok'; readonly values: Readonly<Record<string, unknown>> }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[] };

export function readToml(file: string, text: string): TomlFile {
  try {
    return { kind: 'ok', values: parse(text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [message = 'is no TOML'] = error.message.replace(/^Invalid TOML document: /, '').split('\n');
    return { kind: 'wrong', problems: [{ ...fileProblem(file, message), line: error.line }] };
  }
}
