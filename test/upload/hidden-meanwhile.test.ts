/**
 * Refs that are hidden, or shown, while a conversation is open or a fetch waits: from the next command on they are neither
 * listed nor sent, in the words that are said of what is not there.
 */
import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { Fault, ok } from '../../src/base/fault.ts';
import { PktReader } from '../../src/git/pkt-line.ts';
import type { Conversation } from '../../src/git/service.ts';
import { House, type MayRead, type Served, conversationOf, pkts } from './house.ts';

const NO_SECRETS: MayRead = (refname) => !refname.includes('secret');
const ABSENT = 'a'.repeat(40);
const PACK = [{}, { packCache: { bytesMax: 1 << 24, keepMs: 60_000 } }] as const;

interface Ground {
  readonly house: House;
  readonly open: string;
  readonly openOld: string;
  readonly secret: string;
  readonly secretTag: string;
}

/** main, and a branch and a tag that a policy may hide. Every ref may be read at first. */
async function ground(t: TestContext, options: (typeof PACK)[number] = {}): Promise<Ground> {
  const house = await House.open(t, options);
  const { path } = await house.create('r');
  const { work, commit } = await house.workTree();
  const openOld = await commit('first');
  const open = await commit('second');
  await house.git(['checkout', '-q', '-b', 'secret'], work);
  const secret = await commit('a secret');
  await house.git(['tag', '-a', '-m', 'secret words', 'secret-tag', 'main'], work);
  await house.git(['push', '-q', path, '--all'], work);
  await house.git(['push', '-q', path, '--tags'], work);
  const secretTag = await house.git(['rev-parse', 'secret-tag'], work);
  return { house, open, openOld, secret, secretTag };
}

/** Confirms what the house says now, as the walk does. */
function confirming(house: House): Pick<Conversation, 'confirm'> {
  return { confirm: async () => ok({ mayRead: house.mayRead }) };
}

interface Talk {
  readonly input: PassThrough;
  readonly answer: PktReader;
  readonly serving: Promise<Served>;
  /** Up to the next flush-pkt, or to the end. */
  readonly section: () => Promise<string>;
}

function talk(house: House, options: Partial<Conversation> = {}): Talk {
  const input = new PassThrough();
  const output = new PassThrough();
  const answer = new PktReader(output);
  const conversation = conversationOf({ input, output, ...confirming(house), ...options });
  const serving = house.serve(conversation, { name: 'r', service: 'upload-pack' }).finally(() => output.end());
  return {
    input,
    answer,
    serving,
    async section() {
      let text = '';
      for (let pkt = await answer.next(); pkt?.kind === 'data'; pkt = await answer.next())
        text += pkt.payload.toString('latin1');
      return text;
    },
  };
}

const LIST = pkts('command=ls-refs', '0000');
const fetchOf = (...lines: string[]): Buffer => pkts('command=fetch', '0001', ...lines, '0000');

for (const options of PACK) {
  const where = 'packCache' in options ? 'with kept packs' : 'without';
  test(`a branch hidden while a conversation is open is neither listed nor sent from the next command on, ${where}`, async (t) => {
    const { house, secret, secretTag, openOld } = await ground(t, options);
    const refused = async (want: string): Promise<string> => {
      const { input, section, serving } = talk(house);
      house.mayRead = undefined;
      await section();
      input.write(LIST);
      assert.match(await section(), /refs\/heads\/secret/);
      input.write(fetchOf(`want ${secret}`, 'done'));
      assert.match(await section(), /^packfile/, 'shown, so it may be had');
      house.mayRead = NO_SECRETS;
      input.end(fetchOf(`want ${want}`, 'done'));
      const said = await section();
      const { fault } = await serving;
      assert.ok(fault instanceof Fault && fault.code === 'missing');
      return said.replaceAll(want, 'OID');
    };
    const words = await refused(ABSENT);
    assert.match(words, /not our ref OID/);
    assert.equal(await refused(secret), words);
    assert.equal(await refused(secretTag), words);

    const { input, section, serving } = talk(house);
    await section();
    house.mayRead = undefined;
    input.write(LIST);
    assert.match(await section(), /refs\/heads\/secret/);
    house.mayRead = NO_SECRETS;
    input.write(LIST);
    const listed = await section();
    assert.match(listed, /refs\/heads\/main/);
    assert.doesNotMatch(listed, /secret/);
    input.write(fetchOf(`want ${openOld}`, 'done'));
    assert.match(await section(), /^packfile/, 'what is open still is');
    house.mayRead = undefined;
    input.write(LIST);
    assert.match(await section(), /refs\/heads\/secret/, 'and shown again where it may be read again');
    input.end(fetchOf(`want ${secret}`, 'done'));
    assert.match(await section(), /^packfile/);
    assert.equal((await serving).fault, undefined);
  });

  test(`a fetch that waits for a place gets nothing of what is hidden meanwhile, ${where}`, async (t) => {
    const { house, secret, open, openOld } = await ground(t, options);
    /** Hidden, or not, while the place is waited for. */
    const waited = async (input: Buffer, now: MayRead): Promise<{ said: string; fault: unknown }> => {
      house.mayRead = undefined;
      const work: Conversation['work'] = async () => {
        house.mayRead = now;
        return { [Symbol.dispose]: () => {} };
      };
      const { output, fault } = await house.say(input, { name: 'r', mode: 'rpc', work, ...confirming(house) });
      return { said: output.toString('latin1'), fault };
    };
    const hidden = await waited(fetchOf(`want ${secret}`, 'done'), NO_SECRETS);
    assert.match(hidden.said, new RegExp(`not our ref ${secret} \\(not reachable from any ref that you may read\\)`));
    assert.doesNotMatch(hidden.said, /PACK/);
    assert.ok(hidden.fault instanceof Fault && hidden.fault.code === 'missing');

    const has = await waited(fetchOf(`want ${open}`, `have ${secret}`, 'done'), NO_SECRETS);
    assert.match(has.said, /has just been changed: fetch again/, 'nothing is said of what it has');
    assert.doesNotMatch(has.said, /PACK|ACK/);

    const tags = await waited(fetchOf(`want ${open}`, 'include-tag', 'done'), NO_SECRETS);
    assert.doesNotMatch(tags.said, /PACK/);

    const others = await waited(fetchOf(`want ${openOld}`, 'done'), NO_SECRETS);
    assert.match(others.said, /PACK/, 'who asks for nothing of it is not bothered');
    assert.equal(others.fault, undefined);
    const same = await waited(fetchOf(`want ${secret}`, 'done'), undefined);
    assert.match(same.said, /PACK/);
  });
}

test('a fetch that finds its pack at hand gets it only while it may be had', async (t) => {
  const { house, secret } = await ground(t, PACK[1]);
  const ask = fetchOf(`want ${secret}`, 'done');
  const first = await house.say(ask, { name: 'r', mode: 'rpc', ...confirming(house) });
  assert.match(first.output.toString('latin1'), /PACK/);
  const confirm = async (): ReturnType<NonNullable<Conversation['confirm']>> => ok({ mayRead: NO_SECRETS });
  const second = await house.say(ask, { name: 'r', mode: 'rpc', confirm });
  assert.match(second.output.toString('latin1'), /not our ref/);
  assert.doesNotMatch(second.output.toString('latin1'), /PACK/);
});

test('in protocol v0 what was advertised and is hidden by now is refused as if it were absent, and not acknowledged', async (t) => {
  const { house, secret, open } = await ground(t);
  const refused = async (want: string): Promise<string> => {
    house.mayRead = undefined;
    const { input, section } = talk(house, { protocol: 0 });
    assert.match(await section(), /refs\/heads\/secret/);
    house.mayRead = NO_SECRETS;
    input.end(pkts(`want ${want}`, '0000', 'done'));
    return (await section()).replaceAll(want, 'OID');
  };
  const words = await refused(ABSENT);
  assert.match(words, /not our ref OID/);
  assert.equal(await refused(secret), words);

  house.mayRead = undefined;
  const { input, section, answer, serving } = talk(house, { protocol: 0 });
  await section();
  input.write(pkts(`want ${open} multi_ack_detailed`, '0000', `have ${ABSENT}`, '0000'));
  const round = await answer.next();
  assert.equal(round?.kind === 'data' && round.payload.toString(), 'NAK\n');
  house.mayRead = NO_SECRETS;
  input.end(pkts(`have ${secret}`, '0000', 'done'));
  let rest = '';
  for await (const chunk of answer.rest()) rest += chunk.toString('latin1');
  assert.match(rest, /NAK/);
  assert.doesNotMatch(rest, new RegExp(`ACK ${secret}`));
  await serving;

  const late = async (mayRead: MayRead): Promise<string> => {
    house.mayRead = undefined;
    const body = pkts(`want ${secret}`, '0000', 'done');
    const confirm = async (): ReturnType<NonNullable<Conversation['confirm']>> => ok({ mayRead });
    const said = await house.say(body, { name: 'r', mode: 'rpc', protocol: 0, confirm });
    return said.output.toString('latin1');
  };
  assert.match(await late(undefined), /PACK/);
  assert.match(await late(NO_SECRETS), /not our ref/);
});

test('an archive of a branch that is hidden before or while it is waited for is refused', async (t) => {
  const { house } = await ground(t);
  const ask = pkts('argument --format=tar', 'argument secret', '0000');
  const archive = async (work: Conversation['work']): Promise<string> => {
    const input = Readable.from([ask], { objectMode: false });
    const options = { name: 'r', service: 'upload-archive', protocol: 0, ...confirming(house), input } as const;
    const said = await house.say(ask, { ...options, ...(work === undefined ? {} : { work }) });
    return said.output.toString('latin1');
  };
  assert.match(await archive(undefined), /ustar/);
  const hidden = await archive(async () => {
    house.mayRead = NO_SECRETS;
    return { [Symbol.dispose]: () => {} };
  });
  assert.match(hidden, /no such ref: 'secret'/);
  assert.doesNotMatch(hidden, /ustar/);
});

test('who may read what keeps changing ends a question, not the gate', async (t) => {
  const { house } = await ground(t);
  let asked = 0;
  const confirm = async (): ReturnType<NonNullable<Conversation['confirm']>> => {
    asked += 1;
    return ok({ mayRead: (refname) => refname.endsWith(String(asked)) });
  };
  const { input, section, serving } = talk(house, { confirm });
  await section();
  input.end(LIST);
  assert.match(await section(), /ERR .*just been changed/);
  assert.ok(asked < 20, String(asked));
  const { fault } = await serving;
  assert.ok(fault instanceof Fault && fault.code === 'busy');
});
