/**
 * Every setting of `gatehouse.toml` in one table: its key, flag, type, default and meaning. The file is read
 * against this table, `config show` prints it, docs/configuration.md is held to it by a test.
 */
import type { Address } from './address.ts';

export const SETTING_TYPES = ['address', 'text', 'path', 'paths', 'bytes', 'duration', 'count', 'choice'] as const;
export type SettingType = (typeof SETTING_TYPES)[number];

/** What a setting of each type is once it is read. Absent texts and paths are empty. */
interface ValueOf {
  readonly address: Address;
  readonly text: string;
  /** Absolute. */
  readonly path: string;
  readonly paths: readonly string[];
  readonly bytes: number;
  /** Milliseconds. */
  readonly duration: number;
  readonly count: number;
  readonly choice: string;
}

export interface Setting {
  /** `table.key` as in the file. */
  readonly key: string;
  readonly type: SettingType;
  /** As it would be written in the file; '' for a text or path that is absent. */
  readonly default: string;
  readonly meaning: string;
  /** `--flag` of `gatehouse serve`, where there is one. */
  readonly flag?: string;
  readonly choices?: readonly string[];
  /** Of a count or a size. */
  readonly min?: number;
  readonly max?: number;
}

export const SETTINGS = {
  ssh: {
    key: 'ssh.listen',
    type: 'address',
    default: '127.0.0.1:2222',
    flag: '--ssh',
    meaning: 'where SSH clients connect',
  },
  sshClientsMax: {
    key: 'ssh.clients-max',
    type: 'count',
    default: '1000',
    min: 1,
    max: 100_000,
    meaning: 'SSH connections at once',
  },
  http: {
    key: 'http.listen',
    type: 'address',
    default: '127.0.0.1:8080',
    flag: '--http',
    meaning: 'where HTTP clients connect',
  },
  tlsCert: {
    key: 'http.tls-cert',
    type: 'path',
    default: '',
    flag: '--tls-cert',
    meaning: 'PEM file with the certificate chain; with tls-key, HTTP becomes HTTPS',
  },
  tlsKey: {
    key: 'http.tls-key',
    type: 'path',
    default: '',
    flag: '--tls-key',
    meaning: 'PEM file with the private key of tls-cert',
  },
  git: {
    key: 'git.listen',
    type: 'address',
    default: '127.0.0.1:9418',
    flag: '--git',
    meaning: 'where git:// clients connect (read only, anonymous)',
  },
  gitClientsMax: {
    key: 'git.clients-max',
    type: 'count',
    default: '200',
    min: 1,
    max: 100_000,
    meaning: 'git:// connections at once',
  },
  sshUrl: {
    key: 'urls.ssh',
    type: 'text',
    default: '',
    meaning: 'start of printed SSH clone URLs where the outside sees another address: ssh://git@git.example',
  },
  httpUrl: {
    key: 'urls.http',
    type: 'text',
    default: '',
    meaning: 'start of printed HTTP clone URLs: https://git.example',
  },
  gitUrl: {
    key: 'urls.git',
    type: 'text',
    default: '',
    meaning: 'start of printed git:// clone URLs: git://git.example',
  },
  passLifeMax: {
    key: 'pass.life-max',
    type: 'duration',
    default: '30d',
    meaning: 'how long a pass may live at most',
  },
  admin: {
    key: 'first-start.admin',
    type: 'text',
    default: '',
    flag: '--admin',
    meaning: 'name of the administrator made at first start; default: the login name, admin for root',
  },
  adminKeys: {
    key: 'first-start.admin-keys',
    type: 'paths',
    default: '',
    flag: '--admin-key',
    meaning: "public keys of that administrator; default: the caller's ~/.ssh/id_*.pub",
  },
  gitoliteHome: {
    key: 'gitolite.home',
    type: 'path',
    default: '',
    flag: '--gitolite',
    meaning: 'HOME of the account whose gitolite site is served from where it lies; default: none',
  },
  gitoliteBrokenConf: {
    key: 'gitolite.broken-conf',
    type: 'choice',
    default: 'accept',
    choices: ['accept', 'refuse'],
    meaning:
      'a push to gitolite-admin whose conf is wrong: taken with a FATAL line while the old conf stays in force, as gitolite does, or refused',
  },
  gitoliteIdle: {
    key: 'gitolite.idle-end',
    type: 'duration',
    default: '10m',
    min: 0,
    meaning: 'a gate that a call of gitolite or gitolite-shell started ends when nobody asked for so long; 0s: never',
  },
  gitoliteVrefTime: {
    key: 'gitolite.vref-time',
    type: 'duration',
    default: '2m',
    min: 1_000,
    meaning: "what one of the site's own VREF programs may take for one ref; then the ref is refused",
  },
  gitoliteVrefNetwork: {
    key: 'gitolite.vref-network',
    type: 'choice',
    default: 'off',
    choices: ['on', 'off'],
    meaning: "whether the site's own VREF programs reach the network",
  },
  gitoliteHookTime: {
    key: 'gitolite.hook-time',
    type: 'duration',
    default: '30m',
    min: 1_000,
    meaning: "what one hook of the site's repositories may take; a pre-receive hook that takes longer refuses the push",
  },
  packBytesMax: {
    key: 'push.pack-bytes-max',
    type: 'bytes',
    default: '8 GiB',
    min: 1024,
    meaning: 'size of one pushed pack',
  },
  objectBytesMax: {
    key: 'push.object-bytes-max',
    type: 'bytes',
    default: '2 GiB',
    min: 1024,
    meaning: 'size of one pushed object, unpacked',
  },
  pathBytesMax: {
    key: 'push.path-bytes-max',
    type: 'count',
    default: '4096',
    min: 64,
    max: 65_536,
    meaning: 'bytes of one path in a pushed tree',
  },
  pushDeadline: { key: 'push.deadline', type: 'duration', default: '2h', min: 1000, meaning: 'time one push may take' },
  holdBytesMax: {
    key: 'hold.bytes-max',
    type: 'bytes',
    default: '10 GiB',
    min: 0,
    meaning: 'disk for pushes that wait for an approval, over all repositories',
  },
  holdRepositoryBytesMax: {
    key: 'hold.repository-bytes-max',
    type: 'bytes',
    default: '2 GiB',
    min: 0,
    meaning: 'of this, for the held pushes of one repository, and for those of one user',
  },
  holdPerUserMax: {
    key: 'hold.per-user-max',
    type: 'count',
    default: '50',
    min: 0,
    max: 1_000,
    meaning: 'pushes of one user that are held at the same time; 0: nothing is held, what would be is refused',
  },
  holdExpires: {
    key: 'hold.expires',
    type: 'duration',
    default: '7d',
    min: 1000,
    meaning: 'how long a held push waits for a decision, and how long afterwards `hold list --all` shows it',
  },
  holdWaitMax: {
    key: 'hold.wait-max',
    type: 'duration',
    default: '15m',
    min: 0,
    meaning: 'how long a client may wait for the decision (`git push -o wait=5m`)',
  },
  holdWaitingMax: {
    key: 'hold.waiting-max',
    type: 'count',
    default: '32',
    min: 0,
    max: 10_000,
    meaning: 'clients that wait so at the same time; each is one of `limits.requests-max`',
  },
  requestsMax: {
    key: 'limits.requests-max',
    type: 'count',
    default: '256',
    min: 1,
    max: 100_000,
    meaning: 'Git requests served at once; more wait their turn',
  },
  requestsPerUserMax: {
    key: 'limits.requests-per-user-max',
    type: 'count',
    default: '64',
    min: 1,
    max: 100_000,
    meaning: 'of these, by one user or one anonymous address',
  },
  workMax: {
    key: 'limits.work-max',
    type: 'count',
    default: '0',
    min: 0,
    max: 10_000,
    meaning:
      'packs made and pushes judged at once, three quarters of them by one user or in one repository; 0: eight for each processor',
  },
  memoryFreeMin: {
    key: 'limits.memory-free-min',
    type: 'bytes',
    default: '256 MiB',
    min: 0,
    meaning: 'free memory below which caches shrink; below half of it work is done one at a time; 0: never',
  },
  diskFreeMin: {
    key: 'limits.disk-free-min',
    type: 'bytes',
    default: '1 GiB',
    min: 0,
    meaning: 'the same of the disk that the data directory is on',
  },
  packCacheBytesMax: {
    key: 'fetch.cache-bytes-max',
    type: 'bytes',
    default: '8 GiB',
    min: 0,
    meaning:
      'disk for packs of fetches that may be asked for again, one at most half of it; 0: only fetches at the same time share one',
  },
  packCacheKeep: {
    key: 'fetch.cache-keep',
    type: 'duration',
    default: '1h',
    min: 1000,
    meaning: 'how long a pack is kept that nobody asks for again',
  },
  fetchBundles: {
    key: 'fetch.bundles',
    type: 'choice',
    default: 'on',
    choices: ['on', 'off'],
    meaning: 'whether a repository can be had as one bundle over HTTP, and clients that ask hear of it',
  },
  scanDefault: {
    key: 'secret-scan.default',
    type: 'choice',
    default: 'off',
    choices: ['on', 'off', 'report'],
    meaning:
      'whether pushes to repositories that say nothing themselves are scanned for secrets: refused, not looked at, or only told of; mirrors are scanned in any case',
  },
  scanDeadline: {
    key: 'secret-scan.deadline',
    type: 'duration',
    default: '10m',
    min: 1000,
    meaning: 'what the secret scan of one push may take; a push that takes longer is refused',
  },
  scanItemBytesMax: {
    key: 'secret-scan.item-bytes-max',
    type: 'bytes',
    default: '1 GiB',
    min: 1024,
    meaning:
      'size of one object that the secret scan looks at; a push with a larger one is refused where it is scanned',
  },
  lfsObjectBytesMax: {
    key: 'lfs.object-bytes-max',
    type: 'bytes',
    default: '4 GiB',
    min: 0,
    meaning: 'size of one Git LFS object; where objects are scanned, `secret-scan.item-bytes-max` counts as well',
  },
  lfsRepositoryBytesMax: {
    key: 'lfs.repository-bytes-max',
    type: 'bytes',
    default: '64 GiB',
    min: 0,
    meaning: 'disk for the Git LFS objects of one repository',
  },
  upstreamKeyFile: {
    key: 'upstream.key-file',
    type: 'path',
    default: '',
    meaning:
      'file with the key that seals credentials for upstreams; default: vault.key in the data directory, made when it is first needed. GATEHOUSE_VAULT_KEY in the environment goes before it',
  },
  housekeepingTasksMax: {
    key: 'housekeeping.tasks-max',
    type: 'count',
    default: '1',
    min: 0,
    max: 64,
    meaning: 'repositories tidied up at once, after pushes and once a day; 0: only `gc REPO` does',
  },
  isolation: {
    key: 'isolation.mode',
    type: 'choice',
    default: 'auto',
    flag: '--isolation',
    choices: ['auto', 'off', 'required'],
    meaning: 'confinement of git processes: as far as the machine allows, none, or refuse to start without',
  },
  journalRotateBytes: {
    key: 'audit.rotate-bytes',
    type: 'bytes',
    default: '64 MiB',
    min: 4096,
    meaning: 'size at which the audit journal starts another file',
  },
  logLevel: {
    key: 'log.level',
    type: 'choice',
    default: 'info',
    flag: '--log-level',
    choices: ['debug', 'info', 'warn', 'error', 'silent'],
    meaning: 'the least serious log line to write (to standard error)',
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingId = keyof typeof SETTINGS;

/** The effective settings. */
export type Settings = { readonly [Id in SettingId]: ValueOf[(typeof SETTINGS)[Id]['type']] };

export const SETTING_IDS = Object.keys(SETTINGS).filter((id): id is SettingId => Object.hasOwn(SETTINGS, id));

export function settingOf(id: SettingId): Setting {
  return SETTINGS[id];
}
