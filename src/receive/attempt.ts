/** What one transaction holds on its way to the commit point; disposing gives it back unless that was passed. */
import { rm } from 'node:fs/promises';
import { installObjects, releasePacks } from './install.ts';
import { entryPath, type LogEntry } from './log-entry.ts';
import type { PreparedRefs } from './ref-writer.ts';

export class Attempt implements AsyncDisposable {
  readonly #repositoryPath: string;
  readonly txid: string;
  readonly packs: string[] = [];
  entry: LogEntry | undefined;
  refs: PreparedRefs | undefined;
  /** From here on only a definite no lets anything be taken back. */
  mayBeCommitted = false;

  constructor(repositoryPath: string, txid: string) {
    this.#repositoryPath = repositoryPath;
    this.txid = txid;
  }

  /** Resolves with the directories that are to be synced. */
  async install(objectDirectory: string): Promise<readonly string[]> {
    const onKept = (pack: string): void => {
      this.packs.push(pack);
    };
    return installObjects({ objectDirectory, repositoryPath: this.#repositoryPath, onKept });
  }

  /** Its locks and its entry go; packs stay kept until it is disposed. Only where it is surely not committed. */
  async withdraw(): Promise<void> {
    await this.refs?.[Symbol.asyncDispose]();
    this.refs = undefined;
    if (this.entry !== undefined) await rm(entryPath(this.#repositoryPath, this.entry), { force: true });
    this.entry = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.mayBeCommitted) {
      await this.refs?.[Symbol.asyncDispose]();
      return;
    }
    await this.withdraw();
    await releasePacks(this.#repositoryPath, this.packs);
  }
}
