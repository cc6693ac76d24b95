/** Text with `${variable}` inside, in a rule's value or in a reason. */
import type { Asked } from './asked.ts';
import { variableOf, type Reader, type Value } from './variables.ts';

export interface Template {
  /** Set where the text holds no variable. */
  readonly constant: string | undefined;
  readonly parts: readonly (string | Reader)[];
  /** The variables named. */
  readonly names: readonly string[];
  /** Named, but no such variable. */
  readonly unknown: readonly string[];
}

const HOLE = /\$\{([^}]*)\}/g;

/** Texts that one template may expand to: lists multiply. */
const EXPANSIONS_MAX = 1_000;

export function parseTemplate(text: string): Template {
  const parts: (string | Reader)[] = [];
  const names: string[] = [];
  const unknown: string[] = [];
  let end = 0;
  for (const hole of text.matchAll(HOLE)) {
    const [all, name = ''] = hole;
    if (hole.index > end) parts.push(text.slice(end, hole.index));
    end = hole.index + all.length;
    const variable = variableOf(name);
    if (variable === undefined) {
      unknown.push(name);
      parts.push(all);
    } else {
      names.push(name);
      parts.push(variable.read);
    }
  }
  if (end < text.length || parts.length === 0) parts.push(text.slice(end));
  return { constant: names.length + unknown.length === 0 ? text : undefined, parts, names, unknown };
}

/**
 * Every text that the template stands for now: one for each combination of list entries, none where a
 * variable is unset. undefined: too many, or the budget is spent.
 * @param quote applied to what comes out of variables, never to the text around them.
 */
export function expandAll(
  template: Template,
  asked: Asked,
  quote: (text: string) => string = same,
): readonly string[] | undefined {
  const one = expandOne(template, asked, quote);
  if (one === UNSET) return NONE;
  if (one !== undefined) return [one];
  let texts: string[] = [''];
  for (const part of template.parts) {
    const entries = typeof part === 'string' ? [part] : entriesOf(part(asked)).map(quote);
    if (texts.length * entries.length > EXPANSIONS_MAX || !asked.meter.spend(texts.length * entries.length))
      return undefined;
    texts = texts.flatMap((text) => entries.map((entry) => text + entry));
  }
  return texts;
}

const UNSET = Symbol('unset');
const NONE: readonly string[] = [];

/** The one text; `UNSET` where a variable is, undefined where one holds a list. */
function expandOne(
  template: Template,
  asked: Asked,
  quote: (text: string) => string,
): string | typeof UNSET | undefined {
  let text = '';
  for (const part of template.parts) {
    const value = typeof part === 'string' ? part : part(asked);
    if (value === undefined) return UNSET;
    if (typeof value !== 'string') return undefined;
    text += typeof part === 'string' ? value : quote(value);
  }
  return text;
}

/** For a person: lists with commas, unset variables as `(none)`, control characters and excess cut out. */
export function expandForPerson(template: Template, asked: Asked): string {
  const text = template.parts
    .map((part) => (typeof part === 'string' ? part : entriesOf(part(asked)).join(', ') || '(none)'))
    .join('');
  return text.replaceAll(/[\x00-\x1f\x7f]/g, ' ').slice(0, 1_000);
}

export function entriesOf(value: Value): readonly string[] {
  if (value === undefined) return [];
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? (value as readonly string[]) : [...value];
}

function same(text: string): string {
  return text;
}
