/** Lines for syslog, as gitolite's own go there: through logger(1), because Node has no datagram sockets of this kind. */
import { execFile } from 'node:child_process';

export interface SyslogLine {
  /** `local0` and its like. */
  readonly facility: string;
  readonly level: 'debug' | 'info';
  readonly tag: string;
  readonly text: string;
}

const TIMEOUT_MS = 5_000;

/** Without a syslog the line is lost: a log ends nothing. */
export async function sendToSyslog({ facility, level, tag, text }: SyslogLine): Promise<void> {
  const args = ['--id', '--priority', `${facility}.${level}`, '--tag', tag, '--', text];
  await new Promise<void>((resolve) => {
    execFile('logger', args, { timeout: TIMEOUT_MS }, () => {
      resolve();
    });
  });
}
