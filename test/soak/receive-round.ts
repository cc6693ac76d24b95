/**
 * Some pushes to a new repository, each given to a push pipeline and to `git receive-pack` with a twin of the repository:
 * afterwards both have the same refs, and in the end the same objects, with which `git fsck` is content.
 */
import { once } from 'node:events';
import { inspect } from 'node:util';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RawObject } from '../../src/git/odb/odb.ts';
import { PktReader } from '../../src/git/pkt-line.ts';
import type { ObjectFormat, Oid } from '../../src/git/oid.ts';
import { fsckOption, OLD_DEFECTS } from '../../src/receive/fsck-rules.ts';
import { SmallPackDesk } from '../../src/receive/small-pack-desk.ts';
import { pkt, readLines } from '../receive/raw-client.ts';
import { dial, startSite, type Site } from '../receive/site.ts';
import { drawPush, git, type Push, type PushKind, type World } from './receive-pushes.ts';
import { Chance } from './receive-random.ts';

export interface RoundOptions {
  readonly seed: number;
  readonly pushes: number;
}

export interface Tally {
  pushes: number;
  accepted: number;
  /** Taken in without git. */
  own: number;
  /** Why the others were not. */
  readonly why: Map<string, number>;
}

export interface RoundResult {
  readonly kinds: ReadonlyMap<PushKind, Tally>;
  /** What went differently; empty: nothing. */
  readonly differences: readonly string[];
}

export async function runRound({ seed, pushes }: RoundOptions): Promise<RoundResult> {
  const chance = new Chance(seed);
  const format: ObjectFormat = seed % 2 === 0 ? 'sha1' : 'sha256';
  const root = await mkdtemp(join(tmpdir(), 'gatehouse-receive-soak-'));
  const small = new SmallPackDesk();
  const durable = { syncFile: nothing, syncDirectory: nothing, writeFile: writeNow, createFile: writeNow };
  const site = await startSite({ format, parts: { small, durable } });
  try {
    const round = new Round({ seed, site, small, twin: join(root, 'twin'), format });
    await round.prepare();
    for (let count = 0; count < pushes; count += 1) await round.push(chance);
    await round.conclude();
    return round.result;
  } finally {
    await site.close();
    await rm(site.root, { recursive: true, force: true, maxRetries: 5 });
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function nothing(): Promise<void> {}

async function writeNow(path: string, data: string): Promise<void> {
  const { writeFile } = await import('node:fs/promises');
  await writeFile(path, data);
}

interface RoundParts {
  readonly seed: number;
  readonly site: Site;
  readonly small: SmallPackDesk;
  readonly twin: string;
  readonly format: ObjectFormat;
}

class Round {
  readonly #parts: RoundParts;
  readonly #objects = new Map<Oid, RawObject>();
  readonly #kinds = new Map<PushKind, Tally>();
  readonly #differences: string[] = [];
  readonly #refs = new Map<string, Oid>();
  #count = 0;

  constructor(parts: RoundParts) {
    this.#parts = parts;
  }

  get result(): RoundResult {
    return { kinds: this.#kinds, differences: this.#differences };
  }

  async prepare(): Promise<void> {
    const { twin, format, site } = this.#parts;
    await git(['init', '-q', '--bare', '-b', 'main', `--object-format=${format}`, twin]);
    const severities = fsckOption(site.repository).slice('--strict='.length).split(',');
    const settings = [
      'receive.fsckObjects=true',
      'receive.unpackLimit=1',
      'receive.autogc=false',
      'gc.auto=0',
      'core.fsync=none',
    ];
    for (const setting of [...settings, ...severities.map((pair) => `receive.fsck.${pair}`)]) {
      const [key = '', value = ''] = setting.split('=');
      await git(['-C', twin, 'config', key, value]);
    }
  }

  /** One push to both. */
  async push(chance: Chance): Promise<void> {
    const { format, twin, site, small } = this.#parts;
    this.#count += 1;
    const world: World = { format, objects: this.#objects, refs: this.#refs, twin };
    const push = await drawPush(world, chance);
    const takenBefore = small.figures.taken;
    const givenBefore = new Map(small.figures.givenBack);
    const [ours, gits] = await Promise.all([pushToSite(site, push, format), pushToGit(twin, push, format)]);
    const tally = this.#kinds.get(push.kind) ?? { pushes: 0, accepted: 0, own: 0, why: new Map() };
    this.#kinds.set(push.kind, tally);
    tally.pushes += 1;
    const accepted = push.updates.filter(({ refname }) => ours.includes(`ok ${refname}`));
    if (accepted.length > 0) tally.accepted += 1;
    if (small.figures.taken > takenBefore) tally.own += 1;
    for (const [why, count] of small.figures.givenBack) {
      if (count > (givenBefore.get(why) ?? 0)) tally.why.set(why, (tally.why.get(why) ?? 0) + 1);
    }
    const disagreed = push.updates.filter(
      ({ refname }) => ours.includes(`ok ${refname}`) !== gits.includes(`ok ${refname}`),
    );
    if (disagreed.length > 0) {
      this.#differ(`${push.kind} (${push.what}): ${ours.join('; ')} but git: ${gits.join('; ')}`);
      await copyRefs(twin, await refsOf(site.repository.path));
    }
    for (const { refname, newOid } of accepted) {
      if (/^0+$/.test(newOid)) this.#refs.delete(refname);
      else this.#refs.set(refname, newOid);
    }
    // Of packs that were spoilt it is not known what they hold.
    if (accepted.length === 0 || push.kind === 'spoilt bytes' || push.kind === 'spoilt pack') return;
    for (const [oid, object] of push.made) this.#objects.set(oid, object);
    if (push.kind === 'packed by git') await this.#forgetAbsent(push);
  }

  /** git does not send what no tip leads to. */
  async #forgetAbsent({ made }: Push): Promise<void> {
    const input = Buffer.from([...made.keys()].map((oid) => `${oid}\n`).join(''));
    const answer = await git(['-C', this.#parts.twin, 'cat-file', '--batch-check', '--buffer'], input);
    for (const [, oid] of answer.toString().matchAll(/^([0-9a-f]+) missing$/gm)) this.#objects.delete(oid as Oid);
  }

  async conclude(): Promise<void> {
    const { site, twin, small } = this.#parts;
    const [refs, twins] = await Promise.all([refsOf(site.repository.path), refsOf(twin)]);
    if (show(refs) !== show(twins) || show(refs) !== show(this.#refs)) this.#differ('the refs are not the same');
    const [ours, gits] = await Promise.all([objectsOf(site.repository.path), objectsOf(twin)]);
    if (ours !== gits) this.#differ('the objects are not the same');
    const relaxed = [...OLD_DEFECTS, 'nulInCommit', 'missingTaggerEntry'].flatMap((message) => [
      '-c',
      `fsck.${message}=ignore`,
    ]);
    const said = String(
      await git(
        [...relaxed, '-C', site.repository.path, 'fsck', '--strict', '--no-dangling', '--no-progress'],
        undefined,
        true,
      ),
    );
    // git's fsck misses the empty tree where nobody sent it; the rest of git has it everywhere.
    const bad = said.split('\n').filter((line) => /^(?:error|fatal|missing|broken)/.test(line));
    if (!bad.every((line) => EMPTY_TREES.some((oid) => line === `missing tree ${oid}`)))
      this.#differ(`git fsck: ${said}`);
    if (small.figures.heldBytes !== 0) this.#differ(`memory is still held: ${small.figures.heldBytes}`);
    const left = site.leftovers();
    if (left.length > 0) this.#differ(`left behind: ${left.join(', ')}`);
  }

  #differ(what: string): void {
    this.#differences.push(`seed ${this.#parts.seed}, push ${this.#count}: ${what}`);
  }
}

const EMPTY_TREES = [
  '4b825dc642cb6eb9a060e54bf8d69288fbee4904',
  '6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321',
];

function commandsOf({ updates }: Push, format: ObjectFormat): readonly Buffer[] {
  return updates.map(({ oldOid, newOid, refname }, index) => {
    const capabilities = index === 0 ? `\0 report-status object-format=${format} agent=soak` : '';
    return pkt(`${oldOid} ${newOid} ${refname}${capabilities}`);
  });
}

/** The lines of the report. */
async function pushToSite(site: Site, push: Push, format: ObjectFormat): Promise<readonly string[]> {
  const ended = site.nextEnd();
  const socket = dial(site);
  await once(socket, 'connect');
  const reader = new PktReader(socket);
  await readLines(reader);
  socket.write(Buffer.concat([...commandsOf(push, format), Buffer.from('0000')]));
  const { pack = Buffer.alloc(0), chunkBytes } = push;
  for (let at = 0; at < pack.length; at += chunkBytes) {
    if (!socket.write(pack.subarray(at, at + chunkBytes)))
      await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
    // Each write for itself: another turn of the loop, another chunk.
    else if (chunkBytes < pack.length) await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  const lines = await readLines(reader).catch(() => []);
  socket.destroy();
  const end = await ended;
  return [...lines.map((line) => line.trimEnd()), ...('fault' in end ? [inspect(end.fault)] : [])];
}

async function pushToGit(twin: string, push: Push, format: ObjectFormat): Promise<readonly string[]> {
  const pack = push.pack === undefined ? [] : [push.pack];
  const input = Buffer.concat([...commandsOf(push, format), Buffer.from('0000'), ...pack]);
  const said = await git(['receive-pack', '--stateless-rpc', twin], input, true);
  return String(said)
    .split(/\n?[0-9a-f]{4}(?=unpack |ok |ng )|\n0000|\n/)
    .filter(Boolean);
}

async function refsOf(path: string): Promise<ReadonlyMap<string, Oid>> {
  const lines = String(await git(['-C', path, 'for-each-ref', '--format=%(refname) %(objectname)']))
    .split('\n')
    .filter(Boolean);
  return new Map(lines.map((line) => line.split(' ') as [string, Oid]));
}

function show(refs: ReadonlyMap<string, Oid>): string {
  return [...refs]
    .map(([name, oid]) => `${oid} ${name}`)
    .toSorted()
    .join('\n');
}

/** So that one difference is not told again with each push after it. */
async function copyRefs(twin: string, to: ReadonlyMap<string, Oid>): Promise<void> {
  const names = new Set([...(await refsOf(twin)).keys(), ...to.keys()]);
  const lines = [...names].map((name) => {
    const oid = to.get(name);
    return oid === undefined ? `delete ${name}\n` : `update ${name} ${oid}\n`;
  });
  await git(['-C', twin, 'update-ref', '--stdin'], Buffer.from(lines.join('')), true);
}

async function objectsOf(path: string): Promise<string> {
  const lines = String(await git(['-C', path, 'cat-file', '--batch-all-objects', '--batch-check'])).split('\n');
  return lines.sort().join('\n');
}
