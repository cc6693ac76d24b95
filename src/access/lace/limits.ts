/**
 * What keeps a hostile ruleset small. Compiling stops with an error at each of these; running is then
 * bounded by what was compiled, and by the step budget that the host gives its match types.
 */
export const LACE_LIMITS = {
  /** Brackets within brackets. */
  bracketDepthMax: 32,
  /** Includes within includes. */
  includeDepthMax: 32,
  /** Includes compiled in all: a file included twice counts twice. */
  includesMax: 1_000,
  /** Characters of all sources, a file included twice counting twice. */
  sourceCharsMax: 8 * 1024 * 1024,
  /** Rules in all, brackets counting as one each. */
  rulesMax: 100_000,
  /** Definitions that name definitions that name ... */
  definitionDepthMax: 128,
} as const;
export type LaceLimits = { readonly [K in keyof typeof LACE_LIMITS]: number };
