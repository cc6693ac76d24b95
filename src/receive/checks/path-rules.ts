/** Changed files against the rules of a check: what their names and modes tell; what only their contents tell is in `file-rules.ts`. */
import { matchesAny, type CheckRules } from './check.ts';
import type { ChangedFile } from './changed-files.ts';

export const MODES = { gone: '000000', link: '120000', submodule: '160000', executable: '100755' } as const;

/** What is wrong, each in words that follow the path. */
export function pathProblems(rules: CheckRules, file: ChangedFile): readonly string[] {
  const { path, mode } = file;
  const problems: (string | undefined)[] = [
    rules.pathsRefuse !== undefined && matchesAny(rules.pathsRefuse, path)
      ? 'this path is not to be changed'
      : undefined,
    rules.pathsOnly !== undefined && !matchesAny(rules.pathsOnly, path)
      ? `only ${rules.pathsOnly.join(', ')} may be changed`
      : undefined,
  ];
  if (mode !== MODES.gone) problems.push(...presentProblems(rules, path), modeProblem(rules, file));
  return problems.filter((problem) => problem !== undefined);
}

function presentProblems(rules: CheckRules, path: string): readonly (string | undefined)[] {
  const { extensionsRefuse, extensionsOnly, pathBytesMax, nameBytesMax } = rules;
  const name = path.slice(path.lastIndexOf('/') + 1);
  const lower = name.toLowerCase();
  const endsIn = (extension: string): boolean => lower.endsWith(`.${extension}`);
  const refused = extensionsRefuse?.find(endsIn);
  const pathBytes = Buffer.byteLength(path);
  const nameBytes = Buffer.byteLength(name);
  return [
    refused === undefined ? undefined : `files of the type .${refused} are not taken`,
    extensionsOnly === undefined || extensionsOnly.some(endsIn)
      ? undefined
      : `only files of the types ${extensionsOnly.map((extension) => `.${extension}`).join(', ')} are taken`,
    pathBytesMax !== undefined && pathBytes > pathBytesMax
      ? `the path has ${pathBytes} bytes: at most ${pathBytesMax} are taken`
      : undefined,
    nameBytesMax !== undefined && nameBytes > nameBytesMax
      ? `the name has ${nameBytes} bytes: at most ${nameBytesMax} are taken`
      : undefined,
  ];
}

function modeProblem(rules: CheckRules, { path, mode }: ChangedFile): string | undefined {
  if (mode === MODES.executable && rules.executablesOnly !== undefined && !matchesAny(rules.executablesOnly, path)) {
    return 'the file is executable here, which is not wanted: git update-index --chmod=-x';
  }
  if (mode === MODES.link && rules.symlinks === 'none') return 'symbolic links are not taken';
  if (mode === MODES.submodule && rules.submodulesOnly?.length === 0) return 'submodules are not taken';
  return undefined;
}

/** Whether following the link by name stays within the tree. Links that lead on from there are asked about themselves. */
export function staysInside(path: string, target: string): boolean {
  if (target === '' || target.startsWith('/') || target.includes('\0') || /^[A-Za-z]:|\\/.test(target)) return false;
  let depth = path.split('/').length - 1;
  for (const part of target.split('/')) {
    if (part === '..') depth -= 1;
    else if (part !== '' && part !== '.') depth += 1;
    if (depth < 0) return false;
  }
  return true;
}

/**
 * The addresses that a `.gitmodules` names; undefined where a line is of a form that git reads otherwise than it looks.
 */
export function submoduleUrls(text: string): readonly string[] | undefined {
  const urls: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(?:[#;].*)?$/.test(line) || /^\s*\[submodule "[^"\\\]\x00-\x1f]+"\]\s*$/.test(line)) continue;
    const [, key, value] = /^\s*([A-Za-z][A-Za-z0-9-]*)\s*=\s*([^"\\;#\x00-\x1f]*?)\s*$/.exec(line) ?? [];
    if (key === undefined || value === undefined) return undefined;
    if (key.toLowerCase() === 'url') urls.push(value);
  }
  return urls;
}
