/**
 * The client's configuration that sends what is meant for the upstream to the gate: `insteadOf` of git-config(1), for each
 * spelling under which people know the upstream.
 */
import { Fault } from '../base/fault.ts';
import type { UpstreamUrl } from './upstream.ts';

export interface GitconfigEntry {
  /** Of the repository at this gate. */
  readonly gateUrl: string;
  readonly upstream: UpstreamUrl;
}

const DEFAULT_PORTS: Readonly<Record<UpstreamUrl['scheme'], number>> = { ssh: 22, https: 443, http: 80, git: 9418 };

/** Sections of a git configuration file. @throws Fault `usage` where a value cannot stand in one. */
export function gitconfigOf(entries: readonly GitconfigEntry[]): string {
  return entries
    .map(({ gateUrl, upstream }) => {
      const lines = aliasesOf(upstream).map((alias) => `\tinsteadOf = ${quoted(alias)}\n`);
      return `[url ${quoted(gateUrl)}]\n${lines.join('')}`;
    })
    .join('');
}

/**
 * Every spelling of an upstream, each once: with the port and without (a client may know it from its ssh_config), as a URL
 * and in scp form. `.git` at the end is left out: git compares starts, and the gate takes names with it or without.
 */
export function aliasesOf(url: UpstreamUrl): readonly string[] {
  const path = startOf(url.path.replace(/^\/+/, ''));
  const host = url.host.includes(':') ? `[${url.host}]` : url.host;
  const at = url.user === undefined ? '' : `${url.user}@`;
  const isDefault = url.port === DEFAULT_PORTS[url.scheme];
  const tail = path.startsWith('~') ? path : encodedPath(path);
  const withPort = `${url.scheme}://${at}${host}:${url.port}/${tail}`;
  const withoutPort = `${url.scheme}://${at}${host}/${tail}`;
  const scp = url.scheme === 'ssh' ? scpForms(url, { at, host, path, isDefault }) : [];
  const written = startOf(url.text);
  return [...new Set([written, withPort, withoutPort, ...scp])];
}

/** Without `.git`, unless that is the whole name: what were left would send everything of that host to the gate. */
function startOf(address: string): string {
  return address.replace(/\/+$/, '').replace(/(?<=[^/:])\.git$/, '');
}

function scpForms(
  { path: asked, port }: UpstreamUrl,
  about: { readonly at: string; readonly host: string; readonly path: string; readonly isDefault: boolean },
): readonly string[] {
  const { at, host, path, isDefault } = about;
  const rooted = asked.startsWith('/') ? [`${at}${host}:/${path}`] : [];
  // git takes a port in scp form between brackets, user included (git-clone(1) knows them from ssh).
  const bracketed = isDefault || host.startsWith('[') ? [] : [`[${at}${host}:${port}]:${path}`];
  return [`${at}${host}:${path}`, ...rooted, ...bracketed];
}

/** As people write it: what needs no escape has none. */
function encodedPath(path: string): string {
  return path.split('/').map(encodePart).join('/');
}

function encodePart(part: string): string {
  // What was escaped in the address of an https upstream stays as it was.
  return /%[0-9a-fA-F]{2}/.test(part)
    ? part
    : encodeURIComponent(part).replace(/%(?:40|2B|3A|7E)/g, decodeURIComponent);
}

/** A value in quotes (git-config(1), "Syntax"): backslash and quote are escaped, control characters have no place there. */
function quoted(text: string): string {
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) {
    throw new Fault('usage', 'value cannot stand in a git configuration', {
      publicMessage: 'an address with control characters cannot stand in a git configuration',
    });
  }
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}
