/** Where Node keeps what it compiled, for the small Node processes that the gate starts with an environment of their own. */
import { env } from 'node:process';

/** `NODE_COMPILE_CACHE` as this process has it; without it nothing, and Node compiles again. */
export function compileCache(): { readonly NODE_COMPILE_CACHE?: string } {
  const directory = env['NODE_COMPILE_CACHE'];
  return directory === undefined || directory === '' ? {} : { NODE_COMPILE_CACHE: directory };
}
