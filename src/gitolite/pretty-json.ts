/** JSON in the layout of gitolite's: three spaces a level, a space on both sides of the colon. */

export type JsonValue = string | number | { readonly [key: string]: JsonValue };

export function prettyJson(value: JsonValue): string {
  return `${laidOut(value, '')}\n`;
}

function laidOut(value: JsonValue, indent: string): string {
  if (typeof value !== 'object') return JSON.stringify(value);
  const deeper = `${indent}   `;
  const entries = Object.entries(value).map(
    ([key, one]) => `${deeper}${JSON.stringify(key)} : ${laidOut(one, deeper)}`,
  );
  return entries.length === 0 ? '{}' : `{\n${entries.join(',\n')}\n${indent}}`;
}
