/**
 * Contents that git looks at before it takes them in: `.gitmodules` and `.gitattributes`. Only what is written as everybody
 * writes it is called plain; the rest is git's to judge.
 */

const MODULES_BYTES_MAX = 64 * 1024;
const ATTRIBUTES_BYTES_MAX = 1024 * 1024;
/** git refuses 2,048 and more (`gitattributesLineLength`). */
const ATTRIBUTE_LINE_BYTES_MAX = 2_000;

const SECTION = /^\[submodule "([A-Za-z0-9_][\w./+ -]{0,200})"\]$/;
const SETTING = /^[\t ]+(path|url|branch) = (\S+)$/;
const PLAIN_PATH = /^[A-Za-z0-9_][\w./+-]{0,1000}$/;
const PLAIN_URL =
  /^(?:(?:https|ssh|git):\/\/(?:[a-z][\w-]{0,60}@)?[a-z0-9][a-z0-9.-]{0,250}(?::\d{1,5})?\/[\w./~+-]{1,1000}|\.\.\/[A-Za-z0-9_][\w./-]{0,1000})$/;

export function isPlainModules(bytes: Buffer): boolean {
  if (bytes.length > MODULES_BYTES_MAX || !isAscii(bytes)) return false;
  let isInSection = false;
  return bytes
    .toString('latin1')
    .split('\n')
    .every((line) => {
      if (line === '') return true;
      const name = SECTION.exec(line)?.[1];
      if (name !== undefined) isInSection = true;
      if (name !== undefined) return !hasParent(name);
      const [, key, value = ''] = SETTING.exec(line) ?? [];
      if (key === undefined || !isInSection) return false;
      return key === 'url' ? PLAIN_URL.test(value) : PLAIN_PATH.test(value) && !hasParent(value);
    });
}

/** A component `..` would lead out of where submodules are kept. */
function hasParent(path: string): boolean {
  return path.split('/').includes('..');
}

export function isPlainAttributes(bytes: Buffer): boolean {
  if (bytes.length > ATTRIBUTES_BYTES_MAX || bytes.includes(0)) return false;
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(LINE_FEED, at);
    const next = end < 0 ? bytes.length : end;
    if (next - at > ATTRIBUTE_LINE_BYTES_MAX) return false;
    at = next + 1;
  }
  return true;
}

const LINE_FEED = 0x0a;

function isAscii(bytes: Buffer): boolean {
  return bytes.every((byte) => byte < 0x80 && (byte >= 0x20 || byte === LINE_FEED || byte === 0x09));
}
