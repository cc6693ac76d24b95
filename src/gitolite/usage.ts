/** What a command says where it was called in a way that it does not know. */
import type { SiteCommand } from './commands/command.ts';
import type { Run } from './run.ts';

/** The exit code. */
export async function showUsage(run: Run, { usage }: Pick<SiteCommand, 'usage'>): Promise<number> {
  await run.print(usage);
  return 1;
}

/** A refusal in plain words, as gitolite's shell scripts say it, and its exit code. */
export async function refuses(run: Run, text: string): Promise<number> {
  await run.warn(`${text}\n`);
  return 1;
}
