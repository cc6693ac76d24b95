/**
 * The answer to a fetch: made by a git that speaks v2 and gets only what was admitted, or at hand because somebody asked for
 * the same. Clients of v0 and v1 that have nothing get it as well, with the beginning that they expect.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Repository } from '../repository/repository.ts';
import { line } from './advertisement.ts';
import { exchange, type ToGit } from './exchange.ts';
import { type FetchRequest, argumentLines } from './fetch-request.ts';
import type { Session } from './session.ts';
import type { View } from './view.ts';
import { type Opening, type PackOnly, packOnly } from './waiting.ts';

/** Wants and haves of a question whose answer may be kept. */
const REMEMBERED_OIDS_MAX = 10_000;
const TAGS_KEY = 'upload/tags';

export interface Fetch {
  /** As it was admitted, in the words of v2. */
  readonly request: FetchRequest;
  /** What it was admitted by. */
  readonly view: View;
  /** After a wait: whoever lost the right to any of this meanwhile gets nothing. @throws Fault */
  readonly still: () => Promise<void>;
  /** What the client expects before the pack; default: v2's. Another one only where nothing else comes before it. */
  readonly opening?: Opening;
}

/** @throws Fault after telling the client where that is possible. */
export async function answerFetch(session: Session, { request, view, still, opening }: Fetch): Promise<void> {
  const { repository, processes, wire, packs } = session;
  const making = {
    packOnly: nothingButPack(session, request),
    opening,
    still,
    spec: session.gitSpec({ subcommand: 'upload-pack', options: ['--stateless-rpc', '--strict'], protocol: 2 }),
    feed: async (toGit: ToGit) => {
      const head = `${line('command=fetch')}${line(`object-format=${repository.objectFormat}`)}0001`;
      if (!(await toGit(Buffer.from(head)))) return;
      for (const piece of session.pieces(argumentLines(request))) if (!(await toGit(piece))) return;
      await toGit(Buffer.from('0000'));
    },
  };
  const words = packs && wordsOfPack({ repository, request, view });
  if (packs && words) await packs.serve(wire, { ...making, words });
  else await exchange({ processes, wire, ...making });
}

/** Whether git answers with nothing but the pack; of a repository that is shallow itself it says first where that ends. */
export function nothingButPack({ repository }: Session, request: FetchRequest): PackOnly | undefined {
  const only = packOnly(request);
  return only !== undefined && existsSync(join(repository.path, 'shallow')) ? undefined : only;
}

interface PackQuestion {
  readonly repository: Repository;
  readonly request: FetchRequest;
  readonly view: View;
}

/**
 * Everything that the pack of a fetch depends on; undefined where no pack is asked for yet, or where the question is too
 * long to be worth remembering. The objects themselves never change. Refs matter in two places only: git adds tags of
 * what it sends, and `deepen-not` names refs.
 */
function wordsOfPack({ repository, request, view }: PackQuestion): readonly string[] | undefined {
  if (!request.flags.has('done') || request.wants.length + request.haves.length > REMEMBERED_OIDS_MAX) return undefined;
  return [
    repository.id,
    repository.path,
    ...[...argumentLines(request)].sort(),
    request.flags.has('include-tag') ? tagsDigest(view) : '',
    request.deepenNot.length > 0 ? view.snapshot.fingerprint : '',
  ];
}

/** Of every annotated tag, hidden ones too: git looks at them all. */
function tagsDigest({ snapshot }: View): string {
  const known = snapshot.memo.get(TAGS_KEY);
  if (typeof known === 'string') return known;
  const digest = createHash('sha256');
  for (const { refname, oid, peeled } of snapshot.refs) if (peeled !== undefined) digest.update(`${oid} ${refname}\n`);
  const text = digest.digest('hex');
  snapshot.memo.set(TAGS_KEY, text);
  return text;
}
