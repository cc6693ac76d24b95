/** The lines of a conf with its includes in place: cleaned, `%HOSTNAME` filled in, groups of delegated parts renamed. */
import type { CleanLines } from './clean-lines.ts';
import { MASTER, type ConfLine } from './conf-line.ts';
import type { ConfProblems } from './conf-problem.ts';
import { globFiles, isElsewhere, normalPath } from './include-glob.ts';

export const CONF_ENTRY = 'gitolite.conf';

const LINES_MAX = 500_000;
const INCLUDE_DEPTH_MAX = 50;

export interface ConfLinesOptions {
  /** Path, relative to the conf's directory -> lines. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
  /** See `ConfSources`. */
  readonly others: ReadonlySet<string>;
  readonly hostname: string | undefined;
  readonly clean: CleanLines;
  readonly problems: ConfProblems;
}

export function readConfLines(options: ConfLinesOptions): readonly ConfLine[] {
  const reader = new LineReader(options);
  reader.read(CONF_ENTRY, MASTER);
  return reader.lines;
}

class LineReader {
  readonly lines: ConfLine[] = [];
  readonly #options: ConfLinesOptions;
  readonly #files: readonly string[];
  readonly #included = new Set([CONF_ENTRY]);
  /** For each delegated part: the group as it writes it -> the group that is meant. */
  readonly #renamed = new Map<string, Map<string, string>>();
  #depth = 0;

  constructor(options: ConfLinesOptions) {
    this.#options = options;
    this.#files = [...options.texts.keys(), ...options.others];
  }

  read(file: string, subconf: string): void {
    const { texts, hostname, clean, problems } = this.#options;
    if (this.#depth >= INCLUDE_DEPTH_MAX) {
      problems.die({ file, line: 1 }, `includes nest deeper than ${INCLUDE_DEPTH_MAX}`);
      return;
    }
    this.#depth += 1;
    for (const [index, raw] of (texts.get(file) ?? []).entries()) {
      const cleaned = clean.of(raw);
      if (cleaned === '') continue;
      const named =
        hostname === undefined || !cleaned.includes('%HOSTNAME')
          ? cleaned
          : cleaned.replaceAll(/%HOSTNAME\b/g, () => hostname);
      const text = subconf === MASTER ? named : this.#renameGroups(named, subconf);
      const line = { text, file, line: index + 1, subconf };
      const isOther = !text.startsWith('include ') && !text.startsWith('subconf ');
      const [, word, name, glob] = isOther ? [] : (/^(include|subconf) (?:([^ ]+) )?([^ ].+)$/s.exec(text) ?? []);
      if (glob !== undefined) this.#include(line, { isSubconf: word === 'subconf', name, glob });
      else if (this.lines.length < LINES_MAX) this.lines.push(line);
      else {
        problems.die(line, `a conf has at most ${LINES_MAX} lines`);
        break;
      }
    }
    this.#depth -= 1;
  }

  #include(
    at: ConfLine,
    {
      isSubconf,
      name,
      glob,
    }: { readonly isSubconf: boolean; readonly name: string | undefined; readonly glob: string },
  ): void {
    const { texts, others, problems } = this.#options;
    if (isSubconf && at.subconf !== MASTER) {
      problems.die(at, `subconf '${at.subconf}' attempting to run 'subconf'`);
      return;
    }
    const [, pattern] = /^"(.+)"$/s.exec(glob) ?? /^'(.+)'$/s.exec(glob) ?? [];
    if (pattern === undefined) {
      problems.die(at, `invalid include/subconf file/glob '${glob}'`);
      return;
    }
    const files = globFiles(pattern, this.#files);
    if (files === undefined) problems.die(at, 'the glob has too many alternatives');
    for (const found of files ?? []) {
      // Not a warning: without its rules the conf could give more than it means to.
      if (isElsewhere(found)) {
        problems.die(at, `invalid include/subconf filename '${found}': only files below the conf's directory are read`);
        return;
      }
      const file = normalPath(found) ?? found;
      if (!texts.has(file) && !others.has(file)) {
        problems.warn(at, `included file not found: '${found}'`);
        continue;
      }
      const [, base] = /([^/]+).conf$/.exec(file) ?? [];
      if (base === undefined || others.has(file)) {
        problems.die(at, `invalid include/subconf filename '${file}'`);
        return;
      }
      this.#open(at, file, isSubconf ? (name ?? base) : at.subconf);
    }
  }

  #open(at: ConfLine, file: string, subconf: string): void {
    const { problems } = this.#options;
    if (this.#included.has(file)) {
      problems.warn(at, `${file} already included`);
      return;
    }
    this.#included.add(file);
    if (!/^[-\w.]+$/.test(subconf)) problems.die(at, `bad subconf '${subconf}'`);
    this.read(file, subconf);
  }

  /** `@g` that this part has defined before is `@part.g`; on the left of a definition it always is. */
  #renameGroups(text: string, subconf: string): string {
    const renamed = this.#renamed.get(subconf) ?? new Map<string, string>();
    this.#renamed.set(subconf, renamed);
    const [, defined] = /^@([^ ]+) = /.exec(text) ?? [];
    const used = text.replaceAll(/(?<=^| )@[^ ]+(?= |$)/g, (group) => renamed.get(group) ?? group);
    if (defined === undefined) return used;
    renamed.set(`@${defined}`, `@${subconf}.${defined}`);
    return used.replace(/^@[^ ]+ = /, () => `@${subconf}.${defined} = `);
  }
}
