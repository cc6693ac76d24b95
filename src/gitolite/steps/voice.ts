/** What hooks and programs say during a push, as the client reads it: whole lines, whatever pieces they come in. */
import type { Push } from '../../receive/step.ts';
import type { Env, Run } from '../run.ts';

/** A line without an end is told in pieces of this size. */
const LINE_BYTES_MAX = 8 * 1024;

export class Voice {
  readonly #tell: (text: string) => void;
  readonly #decoder = new TextDecoder();
  #held = '';

  constructor({ tell }: Pick<Push, 'tell'>) {
    this.#tell = tell;
  }

  say(text: string | Uint8Array): void {
    this.#held += typeof text === 'string' ? text : this.#decoder.decode(text, { stream: true });
    const whole = this.#held.lastIndexOf('\n') + 1;
    if (whole > 0) this.#tell(this.#held.slice(0, whole));
    this.#held = this.#held.slice(whole);
    if (this.#held.length > LINE_BYTES_MAX) this.end();
  }

  /** What is left without a line end. */
  end(): void {
    if (this.#held !== '') this.#tell(this.#held);
    this.#held = '';
  }
}

/** The run whose programs work in the repository and speak to the pushing client, as hooks of git do. */
export function hookRun(
  run: Run,
  push: Push,
  { voice, signal }: { readonly voice: Voice; readonly signal: AbortSignal },
): Run {
  const { repository, objectDirectory, beside } = push;
  const say = (text: string | Uint8Array): Promise<void> => {
    voice.say(text);
    return Promise.resolve();
  };
  const env = {
    ...run.env,
    GIT_DIR: '.',
    GL_REPO: repository.name,
    ...quarantineEnv(repository.path, objectDirectory),
  };
  return { ...run, ...(beside && { beside }), cwd: repository.path, env, print: say, warn: say, signal };
}

/** How git shows its hooks objects that are not in the repository yet. */
function quarantineEnv(path: string, objectDirectory: string | undefined): Env {
  if (objectDirectory === undefined) return {};
  return { GIT_OBJECT_DIRECTORY: objectDirectory, GIT_ALTERNATE_OBJECT_DIRECTORIES: quoteAlternate(`${path}/objects`) };
}

/** git(1), GIT_ALTERNATE_OBJECT_DIRECTORIES: separated by `:`; quoted as in C where a path contains one. */
function quoteAlternate(path: string): string {
  if (!/[:"\\\n]/.test(path)) return path;
  return `"${path.replaceAll(/[\\"]/g, String.raw`\$&`).replaceAll('\n', String.raw`\n`)}"`;
}
