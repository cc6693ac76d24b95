/** What the gate prints when it is open: the line for programs, and around it what a person does next. */
import type { Settings } from '../base/settings.ts';

export interface OpenDoors {
  /** HOST:PORT as bound; absent: closed. */
  readonly ssh?: string;
  readonly http?: string;
  readonly git?: string;
}

export interface Urls {
  readonly ssh?: string;
  readonly http?: string;
  readonly git?: string;
}

/** The start of clone URLs, from the settings where the outside sees another address, else as bound. */
export function urlsOf(doors: OpenDoors, settings: Pick<Settings, 'sshUrl' | 'httpUrl' | 'gitUrl' | 'tlsCert'>): Urls {
  const scheme = settings.tlsCert === '' ? 'http' : 'https';
  const pick = (bound: string | undefined, given: string, start: string): string | undefined => {
    if (given !== '') return given.replace(/\/+$/, '');
    return bound === undefined ? undefined : `${start}${reachable(bound)}`;
  };
  const ssh = pick(doors.ssh, settings.sshUrl, 'ssh://git@');
  const http = pick(doors.http, settings.httpUrl, `${scheme}://`);
  const git = pick(doors.git, settings.gitUrl, 'git://');
  return {
    ...(ssh === undefined ? {} : { ssh }),
    ...(http === undefined ? {} : { http }),
    ...(git === undefined ? {} : { git }),
  };
}

/** An address to connect to: what listens everywhere answers on loopback. */
function reachable(bound: string): string {
  return bound.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
}

export function readyLine(doors: OpenDoors): string {
  return `gatehouse ready ssh=${doors.ssh ?? 'off'} http=${doors.http ?? 'off'} git=${doors.git ?? 'off'}\n`;
}

export interface Greeted {
  readonly urls: Urls;
  readonly administrator: string | undefined;
  readonly dataDirectory: string;
  /** How the local command line is called: `bin/gatehouse`, with --data where that is not the default. */
  readonly program: string;
  /** This start made the site. */
  readonly isFirst: boolean;
  /** The administrator has an SSH key. */
  readonly hasKey: boolean;
  readonly warnings: readonly string[];
}

/** The lines behind the ready line. */
export function nextSteps(about: Greeted): string {
  const { urls, program, administrator } = about;
  const anyUrl = urls.ssh ?? urls.http ?? urls.git;
  const lines = [
    ...about.warnings.map((warning) => `  warning: ${warning}`),
    ...(about.isFirst
      ? [`  This is a new site in ${about.dataDirectory}; its administrator is ${administrator ?? 'nobody'}.`]
      : []),
    ...(about.isFirst ? [`  A token for HTTP and the API: ${about.dataDirectory}/admin-token`] : []),
    ...(about.isFirst && !about.hasKey
      ? [`  Add an SSH key:        ${program} sshkey add laptop < ~/.ssh/id_ed25519.pub`]
      : []),
    `  Create a repository:   ${program} create hello`,
    ...(anyUrl === undefined ? [] : [`  Clone and push it:     git clone ${anyUrl}/hello`]),
    ...(urls.ssh === undefined || urls.ssh.includes(' ')
      ? []
      : [`  Policy and scenarios:  git clone ${urls.ssh}/gatehouse-admin`]),
    ...(urls.http === undefined ? [] : [`  Web and API:           ${urls.http}/`]),
    `  All commands:          ${program} help`,
    '  Ctrl-C stops the gate.',
  ];
  return `${lines.join('\n')}\n`;
}
