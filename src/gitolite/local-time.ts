/** Times as commands show them: in the server's own time. */

/** `2026-01-02.03:04:05`, with another sign between date and time where one is given. */
export function localStamp(ms: number, between = '.'): string {
  const date = new Date(ms);
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day}${between}${clockTime(date)}`;
}

/** `Fri Jan  2 03:04:05 2026`, as C's ctime has it. */
export function ctime(ms: number): string {
  const date = new Date(ms);
  const [weekday = '', month = ''] = date.toDateString().split(' ');
  return `${weekday} ${month} ${String(date.getDate()).padStart(2)} ${clockTime(date)} ${date.getFullYear()}`;
}

function clockTime(date: Date): string {
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
}

function two(number: number): string {
  return String(number).padStart(2, '0');
}
