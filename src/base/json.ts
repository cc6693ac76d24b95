/** What may lie in the store, the journal and an API answer. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Narrows parsed JSON to an object. */
export function isJsonObject(value: unknown): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
