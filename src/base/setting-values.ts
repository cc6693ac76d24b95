/** Values of settings: read from text by their types, and shown again; and the table of docs/configuration.md. */
import { parseAddress, formatAddress, type Address } from './address.ts';
import { ok, refuse, type Parsed } from './fault.ts';
import { SETTING_IDS, settingOf, type Setting } from './settings.ts';
import { formatBytes, formatDuration, parseBytes, parseDuration } from './units.ts';

/** Texts of one setting (several only for `paths`), read by its type. Paths are made absolute by `resolvePath`. */
export function readSetting(
  setting: Setting,
  texts: readonly string[],
  resolvePath: (path: string) => string,
): Parsed<unknown> {
  if (setting.type === 'paths') return ok(texts.filter((text) => text !== '').map(resolvePath));
  const text = texts.at(-1) ?? '';
  switch (setting.type) {
    case 'address':
      return parseAddress(text);
    case 'text':
      return /[\0-\x1f\x7f]/.test(text) ? refuse('control characters are not allowed') : ok(text);
    case 'path':
      return ok(text === '' ? '' : resolvePath(text));
    case 'bytes':
      return within(setting, parseBytes(text), formatBytes);
    case 'duration':
      return within(setting, parseDuration(text), formatDuration);
    case 'count':
      return within(setting, /^\d{1,12}$/.test(text) ? ok(Number(text)) : refuse('a whole number is expected'), String);
    case 'choice':
      return (setting.choices ?? []).includes(text)
        ? ok(text)
        : refuse(`one of ${(setting.choices ?? []).join(', ')} is expected`);
    default:
      return setting.type satisfies never;
  }
}

function within(setting: Setting, parsed: Parsed<number>, format: (value: number) => string): Parsed<number> {
  if (parsed.kind === 'refused') return parsed;
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = setting;
  if (parsed.value < min) return refuse(`at least ${format(min)} is expected`);
  return parsed.value > max ? refuse(`at most ${format(max)} is expected`) : parsed;
}

/** A value as a person reads it; `readSetting` reads it back to the same value. */
export function showSetting(setting: Setting, value: unknown): string {
  if (Array.isArray(value)) return value.join(', ');
  if (setting.type === 'address') return formatAddress(value as Address);
  if (setting.type === 'bytes' && typeof value === 'number') return formatBytes(value);
  if (setting.type === 'duration' && typeof value === 'number') return formatDuration(value);
  return String(value);
}

/** The table of docs/configuration.md. */
export function settingsReference(): string {
  const rows = SETTING_IDS.map(settingOf).map((setting) => {
    const fallback = setting.default === '' ? '' : `\`${setting.default}\``;
    const choices = setting.choices === undefined ? '' : ` (${setting.choices.join(', ')})`;
    const flag = setting.flag === undefined ? '' : `\`${setting.flag}\``;
    return `| \`${setting.key}\` | ${setting.type}${choices} | ${fallback} | ${flag} | ${setting.meaning} |\n`;
  });
  return `| key | type | default | flag | meaning |\n|---|---|---|---|---|\n${rows.join('')}`;
}
