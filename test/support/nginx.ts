/** nginx and fcgiwrap on a loopback port, with the configuration that docs/gitolite-site.md shows. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { end, FCGIWRAP, startFcgiwrap } from './fcgiwrap.ts';
import { cleanEnvironment, freePort, workspace, type Scope } from './workspace.ts';

const NGINX = '/usr/sbin/nginx';

/** Why there is none; false: there is. */
export function noNginx(): string | false {
  for (const path of [NGINX, FCGIWRAP]) {
    try {
      accessSync(path, constants.X_OK);
    } catch {
      return `${basename(path)} is not installed`;
    }
  }
  return false;
}

export interface NginxOptions {
  /** gitolite-shell. */
  readonly program: string;
  /** Of the account. */
  readonly home: string;
  /** All have the password `x`. */
  readonly users: readonly string[];
}

/** Where repositories lie for those who log in, and for everybody. */
export interface NginxUrls {
  readonly named: URL;
  readonly open: URL;
}

/** Serves until the scope ends. */
export async function startNginx(scope: Scope, { program, home, users }: NginxOptions): Promise<NginxUrls> {
  const directory = workspace(scope, 'gatehouse-nginx-');
  const socket = join(directory, 'fcgi.sock');
  // As a service has it: the account's home is in GITOLITE_HTTP_HOME only.
  const { HOME: _, ...env } = cleanEnvironment(home);
  await startFcgiwrap(scope, socket, env);
  const passwords = join(directory, 'passwords');
  writeFileSync(passwords, users.map((user) => `${user}:{PLAIN}x\n`).join(''));
  const port = await freePort();
  const server = documented({
    'listen 80;': `listen 127.0.0.1:${port};`,
    '/var/empty': directory,
    '/etc/nginx/git.htpasswd': passwords,
    '/run/fcgiwrap.socket': socket,
    '/opt/gatehouse/bin/gitolite-shell': program,
    '/home/git': home,
  });
  const config = join(directory, 'nginx.conf');
  writeFileSync(config, around(server, directory));
  const nginx = spawn(NGINX, ['-e', 'stderr', '-p', directory, '-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  scope.after(() => end(nginx, 'SIGTERM'));
  let said = '';
  await new Promise<void>((resolve, reject) => {
    nginx.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('start worker process')) resolve();
    });
    nginx.once('exit', (code) => {
      reject(new Error(`nginx ended with ${code}: ${said}`));
    });
  });
  const at = `http://127.0.0.1:${port}`;
  return { named: new URL(`${at}/git`), open: new URL(`${at}/public`) };
}

/** The block of the page, with this machine's places. */
function documented(places: Readonly<Record<string, string>>): string {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'gitolite-site.md'), 'utf8');
  let text = /```nginx\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  for (const [from, to] of Object.entries(places)) {
    assert.ok(text.includes(from), `the page has ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** A whole configuration around server blocks; everything that nginx writes lies in `directory`. */
export function around(server: string, directory: string): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return [
    // By itself root's nginx takes the rights of another account, which may not look into a test's directory.
    ...(process.getuid?.() === 0 ? ['user root;'] : []),
    'daemon off;',
    'worker_processes 1;',
    `pid ${join(directory, 'nginx.pid')};`,
    'error_log stderr notice;',
    'events {}',
    'http {',
    'access_log off;',
    ...kinds.map((kind) => `${kind}_temp_path ${join(directory, kind)};`),
    server,
    '}',
    '',
  ].join('\n');
}
