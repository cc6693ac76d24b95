/** Columns for people. JSON is for programs, so nothing here needs to be parsed back. */

/** Rows with columns padded to the widest entry, each line without trailing space, ended by a newline. */
export function table(rows: readonly (readonly string[])[], head?: readonly string[]): string {
  if (rows.length === 0) return '';
  const all = head === undefined ? rows : [head, ...rows];
  const widths: number[] = [];
  for (const row of all) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd();
  return all.map((row) => `${line(row)}\n`).join('');
}

/** `key: value` lines, keys padded. */
export function fields(pairs: readonly (readonly [string, string])[]): string {
  return table(pairs.map(([key, value]) => [`${key}:`, value]));
}

/** `2026-01-31 23:59` UTC. */
export function shortTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** `1 repository`, `2 repositories`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
