/** A web server that runs one CGI program (RFC 3875) for every request, and lets in everybody who gives a name. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Scope } from './workspace.ts';

export interface CgiOptions {
  readonly program: string;
  readonly env: NodeJS.ProcessEnv;
}

/** The URL that repositories lie under. */
export async function startCgi(scope: Scope, options: CgiOptions): Promise<URL> {
  const server = createServer((request, response) => {
    serve(request, response, options);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const bound = server.address();
  return new URL(`http://127.0.0.1:${typeof bound === 'object' ? (bound?.port ?? 0) : 0}/git`);
}

function serve(request: IncomingMessage, response: ServerResponse, { program, env }: CgiOptions): void {
  const child = spawn(program, [], { env: { ...env, ...metaVariables(request) }, stdio: ['pipe', 'pipe', 'ignore'] });
  request.pipe(child.stdin);
  child.stdin.on('error', () => {});
  response.on('close', () => child.kill('SIGTERM'));
  let head = Buffer.alloc(0);
  let isBody = false;
  child.stdout.on('data', (chunk: Buffer) => {
    if (isBody) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) return;
    isBody = true;
    writeHead(response, head.subarray(0, end).toString('latin1'));
    response.write(head.subarray(end + 4));
  });
  child.on('close', () => {
    if (!isBody) response.writeHead(500);
    response.end();
  });
}

function writeHead(response: ServerResponse, text: string): void {
  let status = 200;
  for (const line of text.split('\r\n')) {
    const [name = '', value = ''] = line.split(/: */, 2);
    if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
    else response.setHeader(name, value);
  }
  response.writeHead(status);
}

function metaVariables({ method, url = '', headers, socket }: IncomingMessage): NodeJS.ProcessEnv {
  const { pathname, search } = new URL(url, 'http://localhost');
  const user = /^Basic (\S+)$/.exec(headers.authorization ?? '')?.[1];
  const variables: NodeJS.ProcessEnv = {
    GATEWAY_INTERFACE: 'CGI/1.1',
    REQUEST_METHOD: method,
    REQUEST_URI: url,
    SCRIPT_NAME: '/git',
    PATH_INFO: decodeURIComponent(pathname.replace(/^\/git/, '')),
    QUERY_STRING: search.replace(/^\?/, ''),
    REMOTE_ADDR: socket.remoteAddress,
    REMOTE_PORT: String(socket.remotePort),
    SERVER_ADDR: socket.localAddress,
    SERVER_PORT: String(socket.localPort),
    SERVER_PROTOCOL: 'HTTP/1.1',
  };
  if (user !== undefined) variables['REMOTE_USER'] = Buffer.from(user, 'base64').toString().split(':')[0];
  if (headers['content-type'] !== undefined) variables['CONTENT_TYPE'] = headers['content-type'];
  if (headers['content-length'] !== undefined) variables['CONTENT_LENGTH'] = headers['content-length'];
  for (const [name, value] of Object.entries(headers)) {
    if (name !== 'authorization') variables[`HTTP_${name.toUpperCase().replaceAll('-', '_')}`] = String(value);
  }
  return variables;
}
