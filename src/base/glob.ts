/** `*` any characters, `?` one; everything else as it stands. Linear in practice and never exponential. */

/** Whether the whole of `text` matches. */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let inText = 0;
  let star = -1;
  let starText = 0;
  while (inText < text.length) {
    const wanted = pattern[at];
    if (wanted === '*') {
      star = at;
      starText = inText;
      at += 1;
    } else if (wanted === '?' || (wanted !== undefined && wanted === text[inText])) {
      at += 1;
      inText += 1;
    } else if (star >= 0) {
      // Let the last star take one more character: earlier ones never have to.
      starText += 1;
      inText = starText;
      at = star + 1;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}
