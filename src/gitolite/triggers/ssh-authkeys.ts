/** `post-compile/ssh-authkeys`: the keys of `keydir` as lines of the account's authorized_keys, between gitolite's marks. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isPlainWord } from '../../access/gitolite/words.ts';
import { Stint } from '../../base/stint.ts';
import { filesBelow } from '../conf-sources.ts';
import { LIST_BYTES_MAX, statOf, textOf, writeText } from '../disk.ts';
import { glWarn } from '../gl-log.ts';
import { isTrue, scalarOf } from '../rc-value.ts';
import type { Run } from '../run.ts';
import { fingerprintOfKey, userOfKeyFile } from '../site-keys.ts';
import { inTurn } from '../turns.ts';
import { dies } from '../words.ts';
import type { BuiltInTrigger } from './trigger.ts';

const DEFAULT_OPTIONS = 'no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty';
const BRAND_NEW = '    (this is normal on a brand new install)';

export const SSH_AUTHKEYS: BuiltInTrigger = {
  name: 'post-compile/ssh-authkeys',
  async run(run, { own, args }) {
    if (statOf(`${run.rc.adminBase}/keydir`)?.isDirectory() !== true) return;
    const shell = shellOf(run);
    const path = await authorizedKeysFile(run);
    const isNamed = [...own, ...args].some((word) => /^--?(?:kfn|key-file-name)$/.test(word));
    // Who read the keys before somebody changed them must not write after who read them then.
    const lines = await inTurn(run, path, async () => {
      const old = textOf(path, LIST_BYTES_MAX);
      const foreign = foreignLines(old);
      const ours = await linesOfKeys(run, { shell, isNamed, seen: fingerprintsOf(foreign) });
      const text = `${[...foreign, '# gitolite start', ...ours, '# gitolite end'].join('\n')}\n`;
      if (text !== old) writeText(path, text, { umask: run.rc.umask, mode: 0o600, isSynced: true });
      return ours;
    });
    if (lines.length === 0) await glWarn(run, 'you have no keys left; I hope you intended to do that!');
  },
};

/** @throws `dies` where the shell that the lines name could not be run. */
function shellOf({ rc }: Run): string {
  const shell = `${rc.binDirectory}/gitolite-shell`;
  const stat = statOf(shell);
  if (stat?.isFile() !== true) throw dies(`'${shell}' not found; this should NOT happen...`);
  if ((stat.mode & 0o111) === 0) throw dies(`'${shell}' found but not executable; this should NOT happen...`);
  return shell;
}

/** Made where it is missing, for its owner only. */
async function authorizedKeysFile(run: Run): Promise<string> {
  const folder = join(run.rc.home, '.ssh');
  const path = join(folder, 'authorized_keys');
  const hasFolder = statOf(folder)?.isDirectory() === true;
  const hasFile = statOf(path)?.isFile() === true;
  if (!hasFolder) await glWarn(run, `${folder} missing; creating a new one\n${BRAND_NEW}`);
  if (!hasFile) await glWarn(run, `${path} missing; creating a new one\n${BRAND_NEW}`);
  if (!hasFolder) mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (!hasFile) writeText(path, '', { umask: 0o077 });
  return path;
}

/** Everything outside of gitolite's marks. */
function foreignLines(text: string): readonly string[] {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  let isOurs = false;
  return lines.filter((line) => {
    if (!isOurs && !/^# gito.*start/.test(line)) return true;
    isOurs = !/^# gito.*end/.test(line);
    return false;
  });
}

/** Fingerprint -> what it is the fingerprint of. */
function fingerprintsOf(foreign: readonly string[]): Map<string, string> {
  const seen = new Map<string, string>();
  for (const line of foreign) {
    if (line.startsWith('#') || line.trim() === '') continue;
    const fingerprint = fingerprintOfKey(line);
    if (fingerprint === undefined) throw dies(`fingerprinting failed for '${line}': it is not a public key.`);
    seen.set(fingerprint, 'a non-gitolite key');
  }
  return seen;
}

interface Lines {
  readonly shell: string;
  /** Each line says from which file it is. */
  readonly isNamed: boolean;
  readonly seen: Map<string, string>;
}

async function linesOfKeys(run: Run, { shell, isNamed, seen }: Lines): Promise<readonly string[]> {
  const { rc } = run;
  const setting = rc.values['AUTH_OPTIONS'];
  const options = isTrue(setting) ? scalarOf(setting) : DEFAULT_OPTIONS;
  const lines: string[] = [];
  const keydir = `${rc.adminBase}/keydir`;
  const names = filesBelow(keydir, '.pub', { followsLinks: false });
  const files = await run.site.keyFiles.read(names.map((name) => `${keydir}/${name}`));
  const stint = new Stint();
  for (const [path, { fingerprint, soleLine }] of files) {
    const file = path.slice(rc.adminBase.length + 1);
    await noteKey(run, { file, fingerprint, seen });
    if (soleLine === undefined) await glWarn(run, `${file} does not contain exactly 1 line; ignoring`);
    else lines.push(`command="${shell} ${userOfKeyFile(file)}${isNamed ? ` ${file}` : ''}",${options} ${soleLine}`);
    if (stint.isOver) await stint.rest();
  }
  return lines;
}

/** @throws `dies` where it is no key: nobody's lines are written then. */
async function noteKey(
  run: Run,
  about: { readonly file: string; readonly fingerprint: string | undefined; readonly seen: Map<string, string> },
): Promise<void> {
  const { file, fingerprint, seen } = about;
  if (!isPlainWord(file)) throw dies(`bad pubkey file '${file}'`);
  if (fingerprint === undefined) throw dies(`fingerprinting failed for '${file}': ${file} is not a public key file.`);
  const other = seen.get(fingerprint);
  if (other === undefined) seen.set(fingerprint, file);
  else await glWarn(run, `${file} duplicates ${other}, sshd will ignore it`);
}
