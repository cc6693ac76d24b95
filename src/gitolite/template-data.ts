/** Rule templates: blocks of the conf that say which groups a repository is in and whom it lets in, written to its files. */
import type { Run } from './run.ts';

export async function applyTemplates(_run: Run): Promise<void> {}
