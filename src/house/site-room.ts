/**
 * A gitolite site in the house: opened from its account's home, and everything that the walk, the doors and the commands
 * need of it. Where no home is set there is none, and nothing here runs.
 */
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import type { Log } from '../audit/log.ts';
import type { Clock } from '../base/clock.ts';
import type { Config } from '../base/config.ts';
import type { GitProcesses } from '../git/processes.ts';
import { siteUser } from '../gitolite/ask.ts';
import { KeyIndex } from '../gitolite/key-index.ts';
import { createNewRun, type NewRun } from '../gitolite/new-run.ts';
import { openSite } from '../gitolite/open-site.ts';
import { ProgramHost } from '../gitolite/program-host.ts';
import type { Rc, ReadRc } from '../gitolite/rc.ts';
import { createRcReader } from '../gitolite/rc-file.ts';
import type { Env, Run } from '../gitolite/run.ts';
import { Runs } from '../gitolite/runs.ts';
import { SiteCatalogue } from '../gitolite/site-catalogue.ts';
import type { Site } from '../gitolite/site.ts';
import { SiteUsers } from '../gitolite/site-users.ts';
import { createAdminPushStep } from '../gitolite/steps/admin-push.ts';
import { GitConfigs } from '../gitolite/steps/git-configs.ts';
import { siteGround } from '../gitolite/steps/ground.ts';
import { createReceiveRulesStep } from '../gitolite/steps/receive-rules.ts';
import { createSiteHooksStep } from '../gitolite/steps/site-hooks.ts';
import { createUpdateStep } from '../gitolite/steps/update-step.ts';
import { Visits, type VisitRequest } from '../gitolite/visits.ts';
import type { Step } from '../receive/step.ts';
import type { Store } from '../store/store.ts';

/** Where `gitolite` and `gitolite-shell` lie. */
const BIN_DIRECTORY = join(import.meta.dirname, '..', '..', 'bin');

const LOG_CHARACTERS_MAX = 10_000;

export interface SiteRoom {
  readonly site: Site;
  /** Starts the site's own programs; to be closed with the house. */
  readonly programs: ProgramHost;
  readonly runs: Runs;
  /** Of its repositories. */
  readonly configs: GitConfigs;
  readonly newRun: NewRun;
  readonly users: SiteUsers;
  /** Of the keydir. */
  readonly keys: KeyIndex;
  readonly catalogue: SiteCatalogue;
  /** An invocation of the house's own: what it says goes to the log. */
  ownRun(): Promise<Run>;
  /** For requests of the house's own doors, and those that come by the site's shell. */
  visits(isHouses: (name: string) => Promise<boolean>): Visits;
}

export interface SiteRoomParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Pick<Log, 'info'>;
}

export interface SiteSettings {
  readonly readRc: ReadRc;
  readonly umask: SiteUmask;
}

/** What a site hides of its repositories' files. One process serves all of it, so that this is the process's own umask. */
export class SiteUmask {
  #mask: number;

  constructor(mask: number) {
    this.#mask = mask;
    process.umask(mask);
  }

  get mask(): number {
    return this.#mask;
  }

  /** Settings may change while the gate runs. */
  follow(mask: number): void {
    if (mask === this.#mask) return;
    this.#mask = mask;
    process.umask(mask);
  }
}

/** Undefined: the house serves no site. From here on files are made for whom the site says. */
export async function readSiteSettings({ settings }: Config): Promise<SiteSettings | undefined> {
  if (settings.gitoliteHome === '') return undefined;
  const readRc = createRcReader({ binDirectory: BIN_DIRECTORY });
  const umask = new SiteUmask((await readRc(settings.gitoliteHome, {})).umask);
  return { readRc, umask };
}

export function openSiteRoom(home: string, { readRc, umask }: SiteSettings, parts: SiteRoomParts): SiteRoom {
  const { store, clock, log } = parts;
  const programs = new ProgramHost((text) => log.info({ text }, 'hear from the program host'));
  const site = openSite({ home, readRc, clock, programs });
  const rc = (): Promise<Rc> => site.rc({});
  const bareRun = createNewRun({ site, clock });
  const newRun: NewRun = async (options) => {
    const run = await bareRun(options);
    umask.follow(run.rc.umask);
    return run;
  };
  const catalogue = new SiteCatalogue({ site, rc, store, clock, log: (text, fields) => log.info(fields, text) });
  const runs = new Runs();
  const keys = new KeyIndex({ rc, files: site.keyFiles, revision: () => site.current?.revision ?? 0, clock });
  const users = new SiteUsers({
    outerGroups: async (user) => {
      const run = await newRun(quietOptions(home, new AbortController().signal));
      return [...((await siteUser(run, user)).outerGroups ?? [])];
    },
    keyHolder: async (fingerprint) => (await keys.holder(fingerprint))?.user,
  });
  return {
    site,
    programs,
    runs,
    configs: new GitConfigs(),
    newRun,
    users,
    keys,
    catalogue,
    ownRun: () => {
      const said = new LogStream(log);
      return newRun({ ...quietOptions(home, new AbortController().signal), stdout: said, stderr: said });
    },
    visits: (isHouses) =>
      new Visits({
        catalogue,
        runs,
        isHouses,
        newRun: (request, env) => ownDoorRun(newRun, { home, request, env }),
      }),
  };
}

interface SiteStepsOptions {
  readonly processes: GitProcesses;
  readonly gitoliteBrokenConf: string;
  readonly gitoliteVrefTime: number;
  readonly gitoliteVrefNetwork: string;
  readonly gitoliteHookTime: number;
}

/** The checks of a push that a site adds, in gitolite's order; the admin repository is in force last. */
export function siteSteps({ runs, configs }: SiteRoom, options: SiteStepsOptions): readonly Step[] {
  const { processes, gitoliteBrokenConf, gitoliteVrefTime, gitoliteVrefNetwork, gitoliteHookTime } = options;
  const programs = { programMs: gitoliteVrefTime, isOnline: gitoliteVrefNetwork === 'on' };
  return [
    createSiteHooksStep({ runs, configs, hookMs: gitoliteHookTime }),
    createReceiveRulesStep({ runs, configs }),
    createUpdateStep({ processes, findGround: siteGround(runs), ...programs }),
    createAdminPushStep({ runs, processes, brokenConf: gitoliteBrokenConf === 'refuse' ? 'refuse' : 'accept' }),
  ];
}

/** An invocation that nobody called: what it says goes to the client where the door has a way, else nowhere. */
function ownDoorRun(
  newRun: NewRun,
  { home, request, env }: { readonly home: string; readonly request: VisitRequest; readonly env: Env },
): Promise<Run> {
  const { stderr, signal } = request;
  const quiet = quietOptions(home, signal);
  const said = stderr ?? quiet.stderr;
  return newRun({ ...quiet, env: { ...quiet.env, ...env }, stdout: said, stderr: said });
}

/** What is said, as lines of the log. */
class LogStream extends Writable {
  readonly #log: Pick<Log, 'info'>;

  constructor(log: Pick<Log, 'info'>) {
    super();
    this.#log = log;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#log.info({ text: chunk.toString('utf8').slice(0, LOG_CHARACTERS_MAX) }, 'hear from the site');
    done();
  }
}

function quietOptions(home: string, signal: AbortSignal): Parameters<NewRun>[0] {
  const nowhere = new Writable({
    write(_chunk, _encoding, done) {
      done();
    },
  });
  return { env: houseEnv(), cwd: home, stdin: Readable.from([]), stdout: nowhere, stderr: nowhere, signal };
}

/** Of the gate's own environment only what programs cannot do without. */
export function houseEnv(): Env {
  const kept = ['PATH', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];
  return Object.fromEntries(
    kept.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
