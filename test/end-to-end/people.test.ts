/**
 * The people of a shared site, with real clients over the three transports: staff, operations, a secretary, a
 * guest, a third party, somebody without an account, and CI. The same people stand in the house ruleset's
 * own scenarios (`src/access/house/scenarios`), where they are played without a server.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import {
  addPerson,
  commitFile,
  git,
  gitOk,
  makePerson,
  ssh,
  sshConfirmed,
  sshOk,
  startSite,
  url,
  type Person,
  type Site,
} from '../support/gate.ts';
import { suiteScope } from '../support/workspace.ts';

interface Cast {
  readonly site: Site;
  readonly people: Readonly<Record<'ian' | 'olive' | 'steven' | 'gabriella' | 'tina' | 'ci', Person>>;
  readonly nobody: Person;
  readonly tokens: ReadonlyMap<string, string>;
}

const GROUPS: Readonly<Record<string, readonly string[]>> = {
  staff: ['ian', 'olive', 'steven'],
  developers: ['ian'],
  operations: ['olive'],
  visitors: ['gabriella'],
  partners: ['tina'],
  robots: ['ci'],
};

const REPOSITORIES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'web/site': { readers: 'staff', writers: 'developers', guests: 'visitors', public: 'yes' },
  'ops/secrets': { readers: 'operations', writers: 'operations' },
  wiki: { readers: 'staff', writers: 'staff' },
  product: { readers: 'staff robots', writers: 'developers', guests: 'visitors' },
  'joint-venture': { readers: 'staff', writers: 'partners developers' },
};

async function raiseSite(scope: Pick<TestContext, 'after'>): Promise<Cast> {
  const site = await startSite(scope);
  const person = (name: string, flags: readonly string[] = []): Promise<Person> => addPerson(site, name, { flags });
  const people = {
    ian: await person('ian'),
    olive: await person('olive'),
    steven: await person('steven'),
    gabriella: await person('gabriella'),
    tina: await person('tina'),
    ci: await person('ci', ['--ci']),
  };
  for (const [group, members] of Object.entries(GROUPS)) {
    await sshOk(site.admin, site.gate, ['group', 'add', group, 'The', group]);
    for (const member of members) await sshOk(site.admin, site.gate, ['group', 'adduser', group, member]);
  }
  for (const [name, settings] of Object.entries(REPOSITORIES)) {
    await sshOk(site.admin, site.gate, ['create', name]);
    for (const [key, value] of Object.entries(settings)) {
      for (const entry of value.split(' ')) {
        await sshOk(site.admin, site.gate, ['config', name, 'set', value.includes(' ') ? `${key}.*` : key, entry]);
      }
    }
    await seed(site, name);
  }
  const tokens = new Map<string, string>();
  for (const name of Object.keys(people)) {
    const printed = await sshOk(site.admin, site.gate, [
      'as',
      name,
      'token',
      'create',
      'http',
      '--scope',
      'write',
      '--json',
    ]);
    tokens.set(name, secretOf(printed));
  }
  return { site, people, nobody: await makePerson(site.root, 'nobody'), tokens };
}

function secretOf(json: string): string {
  const secret = /ght_[A-Za-z0-9]+/.exec(json)?.[0];
  assert.ok(secret, `a token in ${json}`);
  return secret;
}

/** The administrator's first commit on main, so that there is something to read. */
async function seed(site: Site, name: string): Promise<void> {
  const tree = join(site.admin.home, `seed-${name.replaceAll('/', '-')}`);
  await gitOk(site.admin, ['init', '-q', '-b', 'main', tree]);
  await commitFile(site.admin, tree, 'README', `${name}\n`);
  await gitOk(site.admin, ['push', '-q', url(site.gate, 'ssh', name), 'main'], tree);
}

/** Who may read what; over git:// and without a credential everybody is J. R. Hacker. */
const READERS: Readonly<Record<string, readonly string[]>> = {
  'web/site': ['ian', 'olive', 'steven', 'gabriella', 'tina', 'ci', 'nobody'],
  'ops/secrets': ['olive'],
  wiki: ['ian', 'olive', 'steven'],
  product: ['ian', 'olive', 'steven', 'gabriella', 'ci'],
  'joint-venture': ['ian', 'olive', 'steven', 'tina'],
};

describe('the people of a site', () => {
  let cast: Cast;
  const scope = suiteScope();
  before(
    async () => {
      cast = await raiseSite(scope);
    },
    { timeout: 120_000 },
  );
  after(() => scope.close());

  test('each reads what the house ruleset grants, over ssh and http, and nothing else', async () => {
    for (const [name, readers] of Object.entries(READERS)) {
      for (const [who, person] of Object.entries(cast.people)) {
        const overSsh = await git(person, ['ls-remote', url(cast.site.gate, 'ssh', name)]);
        const overHttp = await git(person, ['ls-remote', url(cast.site.gate, 'http', name, cast.tokens.get(who))]);
        assert.equal(overSsh.code === 0, readers.includes(who), `${who} reads ${name} over ssh: ${overSsh.stderr}`);
        assert.equal(overHttp.code === 0, readers.includes(who), `${who} reads ${name} over http: ${overHttp.stderr}`);
        if (readers.includes(who)) continue;
        assert.match(overSsh.stderr, new RegExp(`gatehouse: no such repository, or you may not read it: ${name}`));
      }
    }
  });

  test('J. R. Hacker clones what is public over git:// and http, and is asked who he is otherwise', async () => {
    for (const [name, readers] of Object.entries(READERS)) {
      for (const transport of ['git', 'http'] as const) {
        const to = join(cast.nobody.home, `${transport}-${name.replaceAll('/', '-')}`);
        const cloned = await git(cast.nobody, ['clone', '-q', url(cast.site.gate, transport, name), to]);
        assert.equal(cloned.code === 0, readers.includes('nobody'), `${name} over ${transport}: ${cloned.stderr}`);
      }
    }
    const pushed = await git(
      cast.nobody,
      ['push', url(cast.site.gate, 'git', 'web/site'), 'HEAD:refs/heads/x'],
      join(cast.nobody.home, 'git-web-site'),
    );
    assert.notEqual(pushed.code, 0);
    const key = await ssh(cast.nobody, cast.site.gate, ['whoami']);
    assert.equal(key.code, 255, 'an unknown key gets no session');
  });

  test('Ian makes branches, merges to main and tags releases', async () => {
    const { tree, push } = await cloneAs('ian', 'product');
    const main = await commitFile(cast.people.ian, tree, 'feature', 'done\n');
    await gitOk(cast.people.ian, ['tag', '-a', '-m', 'Release', 'v1.0'], tree);
    assert.equal((await push('HEAD:refs/heads/topic')).code, 0);
    assert.equal((await push('HEAD:refs/heads/main', 'v1.0')).code, 0);
    const seen = await gitOk(cast.people.olive, [
      'ls-remote',
      url(cast.site.gate, 'ssh', 'product'),
      'refs/heads/main',
    ]);
    assert.ok(seen.startsWith(main));
  });

  test('Gabriella, a guest, changes only refs under her name, and is told which rule says so', async () => {
    for (const transport of ['ssh', 'http'] as const) {
      const { tree, push } = await cloneAs('gabriella', 'product', transport);
      await commitFile(cast.people.gabriella, tree, `from-${transport}`, 'x\n');
      assert.equal((await push(`HEAD:refs/heads/gabriella/${transport}`)).code, 0);
      assert.equal((await push(`HEAD:refs/tags/gabriella/${transport}`)).code, 0);
      for (const ref of ['refs/heads/main', 'refs/heads/other', 'refs/tags/v9', 'refs/heads/gabriella2/x']) {
        const refused = await push(`HEAD:${ref}`);
        assert.equal(refused.code, 1, ref);
        assert.match(
          refused.stderr,
          /\[remote rejected\].*\(rules\/[a-z-]+\.lace:\d+: .*refs\/(heads|tags)\/gabriella\//,
          ref,
        );
      }
      await commitFile(cast.people.gabriella, tree, `again-${transport}`, 'y\n');
      assert.equal(
        (await push(`+HEAD~1:refs/heads/gabriella/${transport}`, `HEAD:refs/heads/gabriella/${transport}2`)).code,
        0,
      );
      assert.equal((await push(`:refs/heads/gabriella/${transport}2`)).code, 0, 'she may delete her own branch');
    }
  });

  test('Tina writes one project, Steven the wiki, Olive her secrets; CI writes nothing', async () => {
    for (const [who, name, allowed] of [
      ['tina', 'joint-venture', true],
      ['tina', 'web/site', false],
      ['steven', 'wiki', true],
      ['steven', 'product', false],
      ['olive', 'ops/secrets', true],
      ['ci', 'product', false],
    ] as const) {
      const { tree, push } = await cloneAs(who, name);
      await commitFile(cast.people[who], tree, `by-${who}`, 'x\n');
      const pushed = await push('HEAD:refs/heads/main');
      assert.equal(pushed.code === 0, allowed, `${who} pushes ${name}: ${pushed.stderr}`);
    }
  });

  test('who leaves is gone: user, group and repository are deleted with a token', async () => {
    const { site } = cast;
    await addPerson(site, 'leaver');
    await sshOk(site.admin, site.gate, ['group', 'add', 'leavers', 'Going']);
    await sshOk(site.admin, site.gate, ['create', 'old']);
    for (const words of [
      ['user', 'del', 'leaver'],
      ['group', 'del', 'leavers'],
      ['destroy', 'old'],
    ]) {
      await sshConfirmed(site.admin, site.gate, words);
    }
    assert.equal((await ssh(site.admin, site.gate, ['user', 'show', 'leaver'])).code, 1);
    assert.equal((await ssh(site.admin, site.gate, ['group', 'show', 'leavers'])).code, 1);
    assert.notEqual((await git(site.admin, ['ls-remote', url(site.gate, 'ssh', 'old')])).code, 0);
    const verified = await sshOk(site.admin, site.gate, ['audit', 'verify']);
    assert.match(verified, /\d/);
  });

  async function cloneAs(who: keyof Cast['people'], name: string, transport: 'ssh' | 'http' = 'ssh') {
    const person = cast.people[who];
    const from = url(cast.site.gate, transport, name, cast.tokens.get(who));
    const tree = join(person.home, `${transport}-${name.replaceAll('/', '-')}`);
    const cloned = await git(person, ['clone', '-q', from, tree]);
    // CI and readers clone; who may not read pushes from a tree of their own.
    if (cloned.code !== 0) await gitOk(person, ['init', '-q', '-b', 'main', tree]);
    return { tree, push: (...refs: string[]) => git(person, ['push', from, ...refs], tree) };
  }
});
