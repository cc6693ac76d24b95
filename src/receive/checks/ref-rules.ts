/** Updates of refs against the rules of a check that need no commit: names, kinds of change, tags, the push certificate. */
import { BOUNDS } from '../../base/bounds.ts';
import { factsOf, type ObjectPlace } from '../../git/objects.ts';
import { isZeroOid, parseOid, type ObjectFormat, type Oid } from '../../git/oid.ts';
import type { RefUpdate, UpdateKind } from '../step.ts';
import type { Check } from './check.ts';
import { tagProblems } from './commit-rules.ts';
import { readObjects } from './file-rules.ts';
import type { PushPeople } from './people.ts';
import { parseTag } from './signed-object.ts';

/** What is wrong with an update by itself. */
export function refProblems({ rules }: Check, { refname, kind }: RefUpdate): readonly string[] {
  const problems: string[] = [];
  if (rules.changesRefuse?.includes(kind) === true) problems.push(`${CHANGES[kind]} is not allowed here`);
  const { refNames } = rules;
  if (refNames !== undefined && kind === 'create' && !refNames.some((pattern) => pattern.find(refname) === true)) {
    problems.push(`the name does not match ${refNames.map(({ text }) => text).join(' nor ')}`);
  }
  return problems;
}

const CHANGES: Readonly<Record<UpdateKind, string>> = {
  create: 'creating a ref',
  'fast-forward': 'moving a ref forward',
  rewind: 'taking commits away from a ref',
  delete: 'deleting a ref',
};

/** Tags within tags are followed this far. */
const TAG_DEPTH_MAX = 8;
const TAGS = 'refs/tags/';

export interface TagQuestion {
  readonly place: ObjectPlace;
  readonly format: ObjectFormat;
  readonly people: PushPeople;
  /** Each update that brings something, with the checks that ask about tags. */
  readonly asked: readonly { readonly update: RefUpdate; readonly checks: readonly Check[] }[];
  readonly complain: (check: Check, update: RefUpdate, words: string) => void;
}

/** @throws Fault `process`, `timeout`, `aborted`. */
export async function judgeTags(question: TagQuestion): Promise<void> {
  const { place, asked, complain } = question;
  const facts = await factsOf(
    place,
    asked.map(({ update }) => update.newOid),
  );
  const layers = asked.map((one, index) => ({ ...one, type: facts[index]?.type, size: facts[index]?.sizeBytes ?? 0 }));
  for (const { update, checks, type } of layers) {
    if (!update.refname.startsWith(TAGS)) continue;
    for (const check of checks) {
      const { tags, tagsSigned } = check.rules;
      if (tags === 'annotated' && type !== 'tag') complain(check, update, 'the tag is not annotated: git tag -a');
      else if (tags === 'lightweight' && type === 'tag') complain(check, update, 'the tag is annotated');
      else if (tagsSigned !== undefined && type !== 'tag') complain(check, update, 'the tag is not signed: git tag -s');
    }
  }
  let layer: readonly Layer[] = layers.filter(({ type }) => type === 'tag');
  for (let depth = 0; layer.length > 0; depth += 1) {
    if (depth === TAG_DEPTH_MAX) {
      for (const { update, checks } of layer)
        for (const check of checks) complain(check, update, 'tags of tags of tags');
      return;
    }
    layer = await judgeLayer(question, layer);
  }
}

interface Layer {
  readonly update: RefUpdate;
  readonly checks: readonly Check[];
  readonly size: number;
  /** The tag; absent: the update's own new value. */
  readonly oid?: Oid;
}

/** Judges these tags; returns the tags that they are of. */
async function judgeLayer(
  { place, format, people, complain }: TagQuestion,
  layer: readonly Layer[],
): Promise<readonly Layer[]> {
  const next: Layer[] = [];
  for (const one of layer.filter(({ size }) => size > BOUNDS.checkCommitBytesMax)) {
    for (const check of one.checks) complain(check, one.update, 'the tag is too long to be looked at');
  }
  const fit = layer.filter(({ size }) => size <= BOUNDS.checkCommitBytesMax);
  const byOid = Map.groupBy(fit, ({ oid, update }) => oid ?? update.newOid);
  if (byOid.size === 0) return next;
  await readObjects(place, [...byOid.keys()], async (oid, { content }) => {
    if (!(content instanceof Uint8Array)) return;
    const bytes = Buffer.from(content);
    const parsed = parseTag(bytes);
    for (const one of byOid.get(oid) ?? []) {
      for (const check of one.checks) {
        for (const words of await tagProblems(people, check.rules, bytes)) complain(check, one.update, words);
      }
      const target = parsed.kind === 'ok' && parsed.value.targetType === 'tag' ? parsed.value.target : '';
      const inner = parseOid(target, format);
      if (inner !== undefined && !isZeroOid(inner)) next.push({ ...one, oid: inner });
    }
  });
  const facts = await factsOf(
    place,
    next.map(({ oid, update }) => oid ?? update.newOid),
  );
  return next.map((one, index) => ({ ...one, size: facts[index]?.sizeBytes ?? 0 }));
}
