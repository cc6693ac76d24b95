/**
 * Hosts for a mirror's upstream, as they stand in the world: OpenSSH with a key that reaches git and nothing else, nginx with
 * `git http-backend` over TLS of a self-made authority, and git daemon. Each serves the bare repositories of one directory.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import {
  accessSync,
  appendFileSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { ObjectFormat } from '../../src/git/oid.ts';
import { end, endGroup, startFcgiwrap } from './fcgiwrap.ts';
import { around, noNginx } from './nginx.ts';
import { noSshd, startSshd } from './sshd.ts';
import { cleanEnvironment, expectRun, freePort, hasProgram, workspace, type Scope } from './workspace.ts';

const NGINX = '/usr/sbin/nginx';

/** Bare repositories of one directory, as an upstream keeps them. */
export class UpstreamRepositories {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
  #commits = 0;

  constructor(scope: Scope) {
    const directory = workspace(scope, 'gatehouse-upstream-');
    this.root = join(directory, 'srv');
    mkdirSync(this.root);
    this.env = cleanEnvironment(directory);
  }

  path(name: string): string {
    return join(this.root, `${name}.git`);
  }

  /** Whether `NAME.git` was made. */
  has(name: string): boolean {
    return name !== '' && existsSync(this.path(name));
  }

  /** An empty bare repository `NAME.git` that takes pushes of everything, over http as well. */
  async create(name: string, options: { readonly objectFormat?: ObjectFormat } = {}): Promise<string> {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    const format = options.objectFormat ?? 'sha1';
    await this.git(['init', '-q', '--bare', '-b', 'main', `--object-format=${format}`, path]);
    appendFileSync(join(path, 'config'), '[http]\n\treceivepack = true\n[receive]\n\tadvertisePushOptions = true\n');
    return path;
  }

  /** git with this environment; standard output without its last newline. */
  git(
    args: readonly string[],
    options: { readonly cwd?: string; readonly stdin?: string | Uint8Array } = {},
  ): Promise<string> {
    return expectRun('git', args, { env: this.env, ...options });
  }

  /** The oid of `refname` in NAME; undefined: it is not there. */
  async ref(name: string, refname: string): Promise<string | undefined> {
    const said = await this.git(['-C', this.path(name), 'for-each-ref', '--format=%(objectname)', refname]);
    return said === '' ? undefined : said;
  }

  /** A commit on `refname` with `files`, made without a work tree on top of what is there; its oid. */
  async commit(name: string, refname: string, files: Readonly<Record<string, string>>): Promise<string> {
    const parent = await this.ref(name, refname);
    this.#commits += 1;
    const lines = [
      `commit ${refname}`,
      'committer Test Committer <committer@example.org> now',
      data(`change ${this.#commits}`),
      ...(parent === undefined ? [] : [`from ${parent}`]),
      ...Object.entries(files).map(([file, text]) => `M 100644 inline ${file}\n${data(text)}`),
      '',
    ];
    await this.git(['-C', this.path(name), 'fast-import', '--quiet', '--date-format=now'], { stdin: lines.join('\n') });
    const oid = await this.ref(name, refname);
    assert.ok(oid !== undefined, `${refname} was made`);
    return oid;
  }
}

/** As git fast-import reads it. */
function data(text: string): string {
  return `data ${Buffer.byteLength(text)}\n${text}`;
}

export interface SshUpstream {
  readonly repositories: UpstreamRepositories;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** `TYPE BASE64`: what a mirror pins. */
  readonly hostKey: string;
  /** Of the client: the private key's text and its file. */
  readonly privateKey: string;
  readonly keyPath: string;
  /** `ssh://user@host:port/.../NAME.git`. */
  url(name: string): string;
  /** `GIT_SSH_COMMAND` of a stock client with the key. */
  readonly sshCommand: string;
  log(): string;
}

export interface SshUpstreamOptions {
  /** sshd takes GIT_PROTOCOL, so the server can answer v2. Default true. */
  readonly takesProtocol?: boolean;
  /** Further lines of sshd_config. */
  readonly lines?: readonly string[];
}

/** Why there is none; false: there is. */
export function noSshUpstream(): string | false {
  return noSshd();
}

/** OpenSSH, whose one key reaches git's three services by a forced command. Serves until the scope ends. */
export async function startSshUpstream(scope: Scope, options: SshUpstreamOptions = {}): Promise<SshUpstream> {
  const repositories = new UpstreamRepositories(scope);
  const directory = workspace(scope, 'gatehouse-upstream-ssh-');
  const keyPath = join(directory, 'client');
  await expectRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', keyPath]);
  const forced = join(directory, 'forced');
  writeFileSync(forced, FORCED);
  chmodSync(forced, 0o755);
  const authorized = join(directory, 'authorized_keys');
  writeFileSync(authorized, `restrict ${readFileSync(`${keyPath}.pub`, 'utf8')}`, { mode: 0o600 });
  const takes = options.takesProtocol ?? true;
  const lines = [`AuthorizedKeysFile ${authorized}`, `ForceCommand ${forced}`, ...(options.lines ?? [])];
  const sshd = await startSshd(scope, { home: directory, lines, takesProtocol: takes });
  const { username: user } = userInfo();
  return {
    repositories,
    host: '127.0.0.1',
    port: sshd.port,
    user,
    hostKey: sshd.hostKey,
    privateKey: readFileSync(keyPath, 'utf8'),
    keyPath,
    url: (name) => `ssh://${user}@127.0.0.1:${sshd.port}${repositories.path(name)}`,
    sshCommand: sshd.client(keyPath),
    log: () => sshd.log(),
  };
}

/** As git-shell, without the account's shell having to be it. */
const FORCED = `#!/bin/sh
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
case "$SSH_ORIGINAL_COMMAND" in
  "git-upload-pack '"*"'" | "git-receive-pack '"*"'" | "git-upload-archive '"*"'")
    exec git shell -c "$SSH_ORIGINAL_COMMAND" ;;
esac
echo "this key reaches git only" >&2
exit 128
`;

export interface HttpsUpstream {
  readonly repositories: UpstreamRepositories;
  readonly host: string;
  readonly port: number;
  /** PEM of the authority that signed the server. */
  readonly authority: string;
  readonly username: string;
  /** The one password (token), made for this run. */
  readonly token: string;
  /** Of a client that the authority signed: PEM. */
  readonly clientCertificate: string;
  readonly clientKey: string;
  /** `https://localhost:port/NAME.git`. */
  url(name: string): string;
  /** Options of a stock git client: `-c` pairs. */
  readonly clientOptions: readonly string[];
}

export interface HttpsUpstreamOptions {
  /** Basic auth. Default true. */
  readonly asksPassword?: boolean;
  /** A client certificate is required. Default false. */
  readonly asksCertificate?: boolean;
  /** The server's certificate ended before it was made. Default false. */
  readonly isExpired?: boolean;
  /** Git's protocol version is handed on, so the server can answer v2. Default true. */
  readonly takesProtocol?: boolean;
  /** Lines of the server block. */
  readonly lines?: readonly string[];
}

/** Why there is none; false: there is. */
export function noHttpsUpstream(): string | false {
  return noNginx() || (hasProgram('openssl') ? false : 'openssl is not installed');
}

/** nginx in front of `git http-backend`, over TLS. Serves until the scope ends. */
export async function startHttpsUpstream(scope: Scope, options: HttpsUpstreamOptions = {}): Promise<HttpsUpstream> {
  const repositories = new UpstreamRepositories(scope);
  const directory = workspace(scope, 'gatehouse-upstream-https-');
  const token = crypto.randomUUID();
  const username = 'git';
  writeFileSync(join(directory, 'passwords'), `${username}:{PLAIN}${token}\n`);
  await makeCertificates(directory, options.isExpired === true);
  const socket = join(directory, 'fcgi.sock');
  await startFcgiwrap(scope, socket, repositories.env);
  const port = await freePort();
  const config = join(directory, 'nginx.conf');
  writeFileSync(config, nginxConfig({ directory, port, socket, root: repositories.root, options }));
  await startNginxAt(scope, directory, config);
  const text = (name: string): string => readFileSync(join(directory, name), 'utf8');
  return {
    repositories,
    host: 'localhost',
    port,
    authority: text('ca.crt'),
    username,
    token,
    clientCertificate: text('client.crt'),
    clientKey: text('client.key'),
    url: (name) => `https://localhost:${port}/${name}.git`,
    clientOptions: [
      '-c',
      `http.sslCAInfo=${join(directory, 'ca.crt')}`,
      '-c',
      `http.extraHeader=Authorization: Basic ${Buffer.from(`${username}:${token}`).toString('base64')}`,
    ],
  };
}

export interface DaemonUpstream {
  readonly repositories: UpstreamRepositories;
  readonly host: string;
  readonly port: number;
  /** `git://127.0.0.1:port/NAME.git`. */
  url(name: string): string;
}

/** git daemon that takes pushes, too. Serves until the scope ends. */
export async function startDaemonUpstream(scope: Scope): Promise<DaemonUpstream> {
  const repositories = new UpstreamRepositories(scope);
  const port = await freePort();
  const words = [
    'daemon',
    '--listen=127.0.0.1',
    `--port=${port}`,
    '--reuseaddr',
    '--export-all',
    '--enable=receive-pack',
  ];
  const daemon = spawn('git', [...words, '--verbose', `--base-path=${repositories.root}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: repositories.env,
    detached: true,
  });
  scope.after(() => endGroup(daemon));
  await says(daemon, 'Ready to rumble');
  return { repositories, host: '127.0.0.1', port, url: (name) => `git://127.0.0.1:${port}/${name}.git` };
}

/** An authority of its own, a server `localhost` and a client that it signed. */
async function makeCertificates(directory: string, isExpired: boolean): Promise<void> {
  const openssl = (args: readonly string[]): Promise<string> => expectRun('openssl', args, { cwd: directory });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl([
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
  ]);
  const sign = async (name: string, subject: string, more: string, dates: readonly string[]): Promise<void> => {
    await openssl(['req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${subject}`]);
    writeFileSync(join(directory, `${name}.ext`), more);
    const by = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`];
    await openssl(['x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...by, ...dates]);
  };
  const days = ['-days', '2'];
  await sign('server', 'localhost', 'subjectAltName=DNS:localhost\n', isExpired ? ['-days', '-1'] : days);
  await sign('client', 'gate', 'extendedKeyUsage=clientAuth\n', days);
}

interface NginxAbout {
  readonly directory: string;
  readonly port: number;
  readonly socket: string;
  readonly root: string;
  readonly options: HttpsUpstreamOptions;
}

function nginxConfig({ directory, port, socket, root, options }: NginxAbout): string {
  const parameters: Readonly<Record<string, string>> = {
    SCRIPT_FILENAME: gitBackend(),
    GIT_PROJECT_ROOT: root,
    GIT_HTTP_EXPORT_ALL: '1',
    PATH_INFO: '$uri',
    QUERY_STRING: '$query_string',
    REQUEST_METHOD: '$request_method',
    CONTENT_TYPE: '$content_type',
    CONTENT_LENGTH: '$content_length',
    REMOTE_USER: options.asksPassword === false ? 'anybody' : '$remote_user',
    REMOTE_ADDR: '$remote_addr',
    ...(options.takesProtocol === false ? {} : { HTTP_GIT_PROTOCOL: '$http_git_protocol' }),
    HTTP_CONTENT_ENCODING: '$http_content_encoding',
  };
  const server = [
    'server {',
    `listen 127.0.0.1:${port} ssl;`,
    'server_name localhost;',
    `ssl_certificate ${join(directory, 'server.crt')};`,
    `ssl_certificate_key ${join(directory, 'server.key')};`,
    ...(options.asksCertificate === true
      ? [`ssl_client_certificate ${join(directory, 'ca.crt')};`, 'ssl_verify_client on;']
      : []),
    'client_max_body_size 0;',
    ...(options.lines ?? []),
    'location / {',
    ...(options.asksPassword === false
      ? []
      : ['auth_basic git;', `auth_basic_user_file ${join(directory, 'passwords')};`]),
    `fastcgi_pass unix:${socket};`,
    ...Object.entries(parameters).map(([name, value]) => `fastcgi_param ${name} ${value};`),
    '}',
    '}',
  ].join('\n');
  return around(server, directory);
}

function gitBackend(): string {
  const places = ['/usr/lib/git-core', '/usr/libexec/git-core'].map((place) => join(place, 'git-http-backend'));
  const found = places.find((place) => existsSync(place));
  assert.ok(found, 'git http-backend is installed');
  accessSync(found, constants.X_OK);
  return found;
}

async function startNginxAt(scope: Scope, directory: string, config: string): Promise<void> {
  const nginx = spawn(NGINX, ['-e', 'stderr', '-p', directory, '-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  scope.after(() => end(nginx, 'SIGTERM'));
  await says(nginx, 'start worker process');
}

/** Resolves once the program said so on standard error, and goes on reading. */
function says(child: ChildProcess, text: string): Promise<void> {
  let said = '';
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      if (said.length < 64 * 1024) said += chunk.toString();
      if (said.includes(text)) resolve();
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      reject(new Error(`it ended with ${code}: ${said}`));
    });
  });
}
