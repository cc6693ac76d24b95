/** A site whose policy holds main and what begins with `held`, and its desk. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Decision, Question } from '../../src/access/decision.ts';
import { ok, type Parsed } from '../../src/base/fault.ts';
import { parseUserName, type Principal } from '../../src/identity/principal.ts';
import type { HeldStanding } from '../../src/receive/apply-held.ts';
import type { AccountId } from '../../src/receive/hold-behind.ts';
import type { HoldLimits } from '../../src/receive/hold-bounds.ts';
import type { HoldDesk } from '../../src/receive/hold-desk.ts';
import type { HeldPush } from '../../src/receive/hold-record.ts';
import type { ReceiveParts } from '../../src/receive/receive.ts';
import { ALLOW, commitFile, git, openSite, PRINCIPAL, type Site, type SiteOptions } from './site.ts';

export const LIMITS: HoldLimits = {
  bytesMax: 64 * 1024 * 1024,
  repositoryBytesMax: 32 * 1024 * 1024,
  perPrincipalMax: 10,
  expiresMs: 60_000,
  waitMs: 20_000,
  waitingMax: 2,
};

export const OLIVE = person('olive');

export function person(name: string): Principal {
  const parsed = parseUserName(name);
  assert.ok(parsed.kind === 'ok');
  return { ...PRINCIPAL, name: parsed.value } as Principal;
}

export const held = (reason: string): Decision => ({
  kind: 'refused',
  reason,
  hold: true,
  rule: 'rules/x.lace:1',
  trace: [],
});
/** Holds main and what begins with `held`, refuses `no`, allows the rest. */
export function decide({ ref }: Question): Decision {
  const name = ref?.refname ?? '';
  if (name === 'refs/heads/main' || name.includes('/held')) return held(`rules/x.lace:1: ${name} wants a look`);
  return name.endsWith('/no') ? { kind: 'refused', reason: 'not there', trace: [] } : ALLOW;
}

interface HoldSiteOptions extends SiteOptions {
  readonly accountId?: AccountId;
  readonly limits?: Partial<HoldLimits>;
  readonly standing?: () => Promise<Parsed<HeldStanding>> | Parsed<HeldStanding>;
}

export function holdParts(
  { limits, standing, accountId, parts }: HoldSiteOptions,
  site: () => Site,
): Partial<ReceiveParts> {
  return {
    ...parts,
    holding: {
      limits: { ...LIMITS, ...limits },
      standing: async () => {
        if (standing !== undefined) return standing();
        const repository = (await site().catalogue.byId(site().repository.id)) ?? site().repository;
        return ok({ principal: PRINCIPAL, repository, mayRead: undefined });
      },
      accountId: accountId ?? (async () => undefined),
    },
  };
}

export interface HoldSite extends Site {
  readonly desk: HoldDesk;
  /** The next push that is held; ask for it before it is pushed. */
  nextHeld(): Promise<HeldPush>;
}

export async function holdSite(context: TestContext, options: HoldSiteOptions = {}): Promise<HoldSite> {
  const listeners: (() => void)[] = [];
  const metrics = { push: () => {}, held: () => listeners.shift()?.() };
  const parts = { metrics, ...holdParts(options, () => site) };
  const site: Site = await openSite(context, { decide, ...options, parts });
  const { holds } = site.receive;
  assert.ok(holds);
  const nextHeld = async (): Promise<HeldPush> => {
    await new Promise<void>((resolve) => listeners.push(resolve));
    return only(holds);
  };
  return Object.assign(site, { desk: holds, nextHeld });
}

export async function all(desk: HoldDesk): Promise<readonly HeldPush[]> {
  const found: HeldPush[] = [];
  for await (const each of desk.list()) found.push(each);
  return found;
}

export async function only(desk: HoldDesk, state: HeldPush['state'] = 'waiting'): Promise<HeldPush> {
  const [first, ...more] = (await all(desk)).filter((each) => each.state === state);
  assert.ok(first);
  assert.equal(more.length, 0);
  return first;
}

export function approve(desk: HoldDesk, push: HeldPush, principal: Principal = OLIVE): Promise<Parsed<HeldPush>> {
  return desk.approve(push, {
    principal,
    reason: 'looks right',
    requestId: 'approval',
    signal: new AbortController().signal,
    tell: () => {},
    confirm: async () => ok(true),
  });
}

export async function approved(desk: HoldDesk, push: HeldPush): Promise<HeldPush> {
  const done = await approve(desk, push);
  assert.ok(done.kind === 'ok', done.kind === 'refused' ? done.reason : '');
  return done.value;
}

export function areas(site: Site): readonly string[] {
  const path = join(site.repository.path, 'gatehouse', 'held');
  return existsSync(path) ? readdirSync(path) : [];
}

/** A tree with one commit on main, pushed nowhere. */
export async function pushed(site: Site, refs: readonly string[], ...flags: readonly string[]) {
  const tree = await site.workTree();
  const tip = await commitFile(tree, 'a.txt');
  return { tree, tip, ...(await git(tree, 'push', ...flags, site.gitUrl, ...refs)) };
}
