/** A push pipeline in front of an upstream: everything real but the policy and, where a test scripts it, the wire. */
import { systemClock } from '../../src/base/clock.ts';
import { RefCache } from '../../src/git/ref-cache.ts';
import { DEFAULT_RECEIVE_LIMITS } from '../../src/receive/limits.ts';
import type { Step } from '../../src/receive/step.ts';
import type { ForwardBorder } from '../../src/upstream/forward.ts';
import { createForwarding, type Forwarding } from '../../src/upstream/forwarding.ts';
import { Intents, type Intent } from '../../src/upstream/forward-intent.ts';
import { writeMirrorRecord } from '../../src/upstream/mirror-record.ts';
import { Mirrors } from '../../src/upstream/mirrors.ts';
import { parseUpstreamUrl } from '../../src/upstream/upstream-url.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import { Vault } from '../../src/upstream/vault.ts';
import type { UpstreamPushLimits } from '../../src/upstream/upstream-push.ts';
import type { ReconcileReport } from '../../src/upstream/reconcile.ts';
import type { Remote } from '../../src/upstream/wire/remote.ts';
import { startSite, type Site, type SiteOptions } from '../receive/site.ts';

export interface ForwardSiteOptions {
  readonly root?: string;
  readonly remote: Remote;
  /** Default: an address that nobody serves. */
  readonly url?: string;
  readonly upstream?: Partial<Pick<Upstream, 'refs' | 'takesPushes' | 'allowsPartialPushes' | 'freshMs'>>;
  readonly limits?: Partial<UpstreamPushLimits>;
  readonly onStep?: ((step: ForwardBorder) => void | Promise<void>) | undefined;
  readonly parts?: SiteOptions['parts'];
  /** Broken on purpose: intents that are left over are forgotten at start. */
  readonly forgetsIntents?: boolean;
}

export interface ForwardSite extends Site {
  readonly mirrors: Mirrors;
  readonly forwarding: Forwarding;
  readonly reconciled: ReconcileReport;
  intent(): Promise<Intent | undefined>;
  /** As a fetch does first. */
  refresh(): Promise<void>;
}

const NOTHING = { mirrorRefresh: () => {} };
const QUICK = { askAgainMs: 1, askMs: 2_000 };

export async function startForwardSite(options: ForwardSiteOptions): Promise<ForwardSite> {
  const clock = systemClock;
  let forwarding: Forwarding | undefined;
  const step: Step = {
    name: 'forward',
    before: async (push) => (await forwarding?.step.before?.(push)) ?? [],
    check: async () => [],
    forward: async (push) => forwarding?.step.forward?.(push),
    committed: async (push, updates) => forwarding?.step.committed?.(push, updates),
  };
  const { root } = options;
  const site = await startSite({ ...(root === undefined ? {} : { root }), parts: { steps: [step], ...options.parts } });
  const { store, processes, catalogue, journal, receive, repository } = site;
  const refs = new RefCache({ processes });
  const intents = new Intents(store);
  await store.transact({ writes: [{ kind: 'mirror', key: repository.id, put: recordOf(options, repository.id) }] });
  const log = logOf(site);
  const mirrors = await Mirrors.open({
    store,
    processes,
    refs,
    catalogue,
    clock,
    log,
    metrics: NOTHING,
    limits: DEFAULT_RECEIVE_LIMITS,
    vault: await Vault.open({ store, clock, keys: { name: 'no keys', read: async () => [] } }),
    createRemote: () => options.remote,
    commit: (own) => receive.commit(own),
    pointHead: (where, branch) => catalogue.setSetting(where, 'default-branch', branch),
    around: (where, call, refresh) => (forwarding === undefined ? refresh() : forwarding.around(where, call, refresh)),
  });
  forwarding = createForwarding({
    store,
    processes,
    refs,
    catalogue,
    clock,
    journal,
    log,
    mirrors,
    limits: { ...QUICK, ...options.limits },
    onStep: options.onStep,
  });
  if (options.forgetsIntents === true) for await (const intent of intents.list(() => {})) await intents.clear(intent);
  const reconciled = await forwarding.reconcile({ signal: new AbortController().signal, waitMs: 10_000 });
  return {
    ...site,
    mirrors,
    forwarding,
    reconciled,
    intent: () => intents.find(repository.id),
    async refresh() {
      await mirrors.refresh(repository, { requestId: 'refresh', signal: new AbortController().signal, force: true });
    },
    async close() {
      await mirrors.close();
      await site.close();
    },
  };
}

function recordOf({ url = 'git://upstream.invalid/r.git', upstream }: ForwardSiteOptions, repositoryId: string) {
  const parsed = parseUpstreamUrl(url);
  if (parsed.kind === 'refused') throw new Error(parsed.reason);
  return writeMirrorRecord({
    repositoryId,
    url: parsed.value,
    hostKeys: [],
    authorities: undefined,
    credentialId: undefined,
    credentialKind: undefined,
    freshMs: 0,
    refs: ['refs/heads/*', 'refs/tags/*'],
    takesPushes: true,
    allowsPartialPushes: false,
    version: 0,
    ...upstream,
  });
}

function logOf({ logged }: Site) {
  const say = (level: string) => (fields: unknown, message: string) => {
    logged.push({ level, message, fields });
  };
  return { info: say('info'), warn: say('warn'), error: say('error') };
}
