/**
 * `GATEHOUSE_TRACE=pkt,access,process`: shows on standard error what goes over the wire, which rule decided,
 * which child ran. For a developer at a terminal; costs one look at a constant where it is off.
 */
export const TRACE_TOPICS = ['pkt', 'access', 'process'] as const;
export type TraceTopic = (typeof TRACE_TOPICS)[number];

const PREVIEW_BYTES = 96;

/** Read once: the environment of a server does not change. */
const topics = parseTopics(process.env['GATEHOUSE_TRACE']);

/** Words between commas; `all` is every topic; unknown ones are passed over. */
export function parseTopics(text: string | undefined): ReadonlySet<TraceTopic> {
  const words = new Set((text ?? '').split(/[\s,]+/));
  return new Set(TRACE_TOPICS.filter((topic) => words.has(topic) || words.has('all')));
}

/** Whether a topic is on. Ask first where making the text costs something. */
export function isTraced(topic: TraceTopic): boolean {
  return topics.size > 0 && topics.has(topic);
}

/** One line on standard error; the text is made only where the topic is on. */
export function trace(topic: TraceTopic, text: () => string): void {
  if (isTraced(topic)) process.stderr.write(`trace ${topic}: ${printable(text())}\n`);
}

/** What a terminal may safely show of bytes or text: controls are escaped. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`;
  });
}

/** The start of a payload, for `trace('pkt', ...)`. */
export function preview(payload: Uint8Array): string {
  const start = Buffer.from(payload.buffer, payload.byteOffset, Math.min(payload.length, PREVIEW_BYTES)).toString(
    'latin1',
  );
  return payload.length > PREVIEW_BYTES ? `${start}… (${payload.length} bytes)` : start;
}
