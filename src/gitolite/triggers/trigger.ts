/** What may happen at a trigger point: a built-in, or a program of the site's. */
import type { TriggerPoint } from '../rc.ts';
import type { Run } from '../run.ts';

/** What a built-in did: `env` is for what comes after (PRE_GIT and before), `argv` replaces the command line (INPUT). */
export interface TriggerEffect {
  readonly env?: Readonly<Record<string, string>>;
  /** INPUT only: the user, and SSH_ORIGINAL_COMMAND. */
  readonly user?: string;
  readonly command?: string;
  /** INPUT only: the invocation ends here with this exit code (a shell user's shell ran, a message was shown). */
  readonly exit?: number;
}

export interface BuiltInTrigger {
  /** As settings write it: `Writable::access_1`, `post-compile/ssh-authkeys`, `set-default-roles`. */
  readonly name: string;
  /**
   * @param own what the settings write behind the name
   * @param args the point's: repository, user, attempt, ref, result ...
   * @throws `dies` to end the invocation (points before Git), as in gitolite.
   */
  run(
    run: Run,
    about: {
      readonly point: TriggerPoint | undefined;
      readonly own: readonly string[];
      readonly args: readonly string[];
    },
  ): Promise<TriggerEffect | void>;
}
