/** nginx with fcgiwrap and git http-backend, git daemon, and no server at all: the client's own floor. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { cleanEnvironment, expectRun, freePort } from '../../test/support/workspace.ts';
import { Meter } from './meter.ts';
import { clientEnvironment, newHome, type BenchGround, type Peer } from './peer.ts';
import { fillFolder } from './sshd-peer.ts';

const NGINX = '/usr/sbin/nginx';
const FCGIWRAP = '/usr/sbin/fcgiwrap';
/** Debian starts one; more is what somebody with two cores sets. */
const FCGI_WORKERS = 4;
const START_TRIES_MAX = 500;

export async function startNginxPeer(ground: BenchGround): Promise<Peer> {
  const home = newHome(ground, 'nginx');
  const served = await fillFolder(ground, join(home, 'served'));
  const meter = new Meter(ground.scope, 'nginx');
  const socket = join(home, 'fcgi.sock');
  const passwords = join(home, 'passwords');
  writeFileSync(passwords, 'bench:{PLAIN}x\n');
  const fcgiwrap = start(ground, FCGIWRAP, ['-c', String(FCGI_WORKERS), '-s', `unix:${socket}`], home);
  await answers(fcgiwrap, { path: socket });
  const port = await freePort();
  const core = await expectRun('git', ['--exec-path']);
  writeFileSync(
    join(home, 'nginx.conf'),
    configOf({ home, served, socket, passwords, port, backend: join(core, 'git-http-backend') }),
  );
  const nginx = start(ground, NGINX, ['-e', 'stderr', '-p', home, '-c', join(home, 'nginx.conf')], home);
  await answers(nginx, { port, host: '127.0.0.1' });
  for (const child of [fcgiwrap, nginx]) meter.add(child.pid ?? 0);
  const headers = { authorization: `Basic ${Buffer.from('bench:x').toString('base64')}` };
  return {
    name: 'nginx',
    meter,
    reach: { kind: 'http', headers },
    env: clientEnvironment(home, { 'http.extraHeader': `Authorization: ${headers.authorization}` }),
    url: (repository) => `http://127.0.0.1:${port}/${repository}.git`,
  };
}

export async function startGitDaemon(ground: BenchGround): Promise<Peer> {
  const home = newHome(ground, 'git-daemon');
  const served = await fillFolder(ground, join(home, 'served'));
  const meter = new Meter(ground.scope, 'git-daemon');
  const port = await freePort();
  const core = await expectRun('git', ['--exec-path']);
  const words = [
    `--base-path=${served}`,
    '--export-all',
    '--enable=receive-pack',
    '--reuseaddr',
    '--listen=127.0.0.1',
    `--port=${port}`,
  ];
  const daemon = start(ground, join(core, 'git-daemon'), [...words, served], home);
  await answers(daemon, { port, host: '127.0.0.1' });
  meter.add(daemon.pid ?? 0);
  return {
    name: 'git daemon',
    meter,
    reach: { kind: 'git', host: '127.0.0.1', port },
    env: clientEnvironment(home),
    url: (repository) => `git://127.0.0.1:${port}/${repository}.git`,
  };
}

export async function openFiles(ground: BenchGround): Promise<Peer> {
  const home = newHome(ground, 'file');
  const served = await fillFolder(ground, join(home, 'served'));
  return {
    name: 'file',
    meter: undefined,
    reach: { kind: 'file' },
    env: clientEnvironment(home),
    url: (repository) => `file://${join(served, `${repository}.git`)}`,
  };
}

/** In a process group of its own, which is ended as a whole. */
function start(ground: BenchGround, program: string, words: readonly string[], home: string): ChildProcess {
  const child = spawn(program, [...words], { stdio: 'ignore', env: cleanEnvironment(home), detached: true });
  const ended = once(child, 'exit');
  ground.scope.after(async () => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined)
      process.kill(-child.pid, 'SIGKILL');
    await ended;
  });
  return child;
}

async function answers(child: ChildProcess, where: { path: string } | { port: number; host: string }): Promise<void> {
  for (let tries = 0; tries < START_TRIES_MAX; tries += 1) {
    if (child.exitCode !== null) break;
    const answered = await new Promise<boolean>((resolve) => {
      const tried = connect(where, () => {
        tried.destroy();
        resolve(true);
      });
      tried.once('error', () => {
        resolve(false);
      });
    });
    if (answered) return;
    await later(10);
  }
  throw new Error(`${child.spawnfile} does not answer (exit code ${child.exitCode})`);
}

interface Places {
  readonly home: string;
  readonly served: string;
  readonly socket: string;
  readonly passwords: string;
  readonly port: number;
  readonly backend: string;
}

function configOf({ home, served, socket, passwords, port, backend }: Places): string {
  const parameters = {
    SCRIPT_FILENAME: backend,
    GIT_PROJECT_ROOT: served,
    GIT_HTTP_EXPORT_ALL: '1',
    PATH_INFO: '$uri',
    REMOTE_USER: '$remote_user',
    REMOTE_ADDR: '$remote_addr',
    QUERY_STRING: '$query_string',
    REQUEST_METHOD: '$request_method',
    CONTENT_TYPE: '$content_type',
    CONTENT_LENGTH: '$content_length',
    SERVER_PROTOCOL: '$server_protocol',
  };
  return [
    ...(process.getuid?.() === 0 ? ['user root;'] : []),
    'daemon off;',
    'worker_processes auto;',
    `pid ${join(home, 'nginx.pid')};`,
    'events {}',
    'http {',
    `access_log ${join(home, 'access.log')};`,
    ...['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${join(home, kind)};`),
    'client_max_body_size 0;',
    'keepalive_requests 100000000;',
    'server {',
    `listen 127.0.0.1:${port};`,
    'auth_basic "bench";',
    `auth_basic_user_file ${passwords};`,
    'location / {',
    `fastcgi_pass unix:${socket};`,
    'fastcgi_buffering off;',
    'fastcgi_read_timeout 600s;',
    ...Object.entries(parameters).map(([key, value]) => `fastcgi_param ${key} "${value}";`),
    '} } }',
    '',
  ].join('\n');
}
