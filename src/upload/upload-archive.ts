/**
 * upload-archive (git-upload-archive(1)): `git archive --remote`. The tree-ish must be a ref that may be read, or an
 * object that one leads to; git then gets the object itself, so it has no name left to look up among hidden ones.
 */
import { BOUNDS } from '../base/bounds.ts';
import { Fault, type Parsed, badInput, ok, refuse } from '../base/fault.ts';
import { type Oid, parseOid } from '../git/oid.ts';
import { FLUSH, encodePkt, pktText } from '../git/pkt-line.ts';
import { type ArchiveArguments, archiveWords, parseArchiveArguments } from './archive-arguments.ts';
import { exchange } from './exchange.ts';
import type { Session } from './session.ts';
import { changedMeanwhile, untilStill } from './still.ts';
import type { Done } from './upload-v2.ts';
import { resolveName } from './view.ts';
import { quoteLine } from './wire.ts';

/** Serves one archive. @throws Fault after a NACK where it is refused. */
export async function serveArchive(session: Session): Promise<Done> {
  const { wire } = session;
  if (wire.conversation.mode === 'advertise') throw badInput('upload-archive advertises nothing');
  const asked = parseArchiveArguments(await readWords(session));
  if (asked.kind === 'refused') return await refuseArchive(session, asked.reason);
  // The client may have taken its time.
  await session.hasChanged();
  const object = await objectOf(session, asked.value);
  if (object.kind === 'refused') return await refuseArchive(session, object.reason);
  const words = archiveWords(asked.value, object.value);
  await exchange({
    processes: session.processes,
    wire,
    still: () =>
      untilStill(
        () => session.hasChanged(),
        async () => {
          const now = await objectOf(session, asked.value);
          if (now.kind === 'refused') throw new Fault('missing', 'archive was refused', { publicMessage: now.reason });
          if (now.value !== object.value) throw changedMeanwhile();
        },
      ),
    spec: session.gitSpec({
      subcommand: 'upload-archive',
      // The object is one that was checked; by default git takes ref names only.
      config: { 'uploadarchive.allowUnreachable': 'true' },
    }),
    feed: async (toGit) => {
      for (const piece of session.pieces(words.map((word) => `argument ${word}\n`))) if (!(await toGit(piece))) return;
      await toGit(FLUSH);
    },
  });
  return { event: 'archive' };
}

async function refuseArchive({ wire }: Session, reason: string): Promise<never> {
  await wire.lastWords(Buffer.concat([encodePkt(`NACK ${reason}\n`), FLUSH]));
  throw new Fault('missing', 'archive was refused', { publicMessage: reason });
}

async function readWords({ wire }: Session): Promise<readonly string[]> {
  const words: string[] = [];
  const from = wire.bytesIn;
  for (let pkt = await wire.next(); pkt?.kind !== 'flush'; pkt = await wire.next()) {
    if (pkt?.kind !== 'data') throw badInput("'argument' token or flush expected");
    const text = pktText(pkt.payload);
    if (!text.startsWith('argument ')) throw badInput("'argument' token or flush expected");
    words.push(text.slice('argument '.length));
    if (words.length > BOUNDS.archiveArgumentsMax)
      throw badInput(`more than ${BOUNDS.archiveArgumentsMax} archive arguments`);
    if (wire.bytesIn - from > BOUNDS.archiveArgumentBytesMax) throw badInput('the archive arguments are too large');
  }
  return words;
}

/** What the client's tree-ish is; undefined where it named none. */
async function objectOf(session: Session, { revision }: ArchiveArguments): Promise<Parsed<Oid | undefined>> {
  if (revision === undefined) return ok(undefined);
  const view = await session.freshView();
  // git takes the first of several refs that a short name may mean.
  const [named] = resolveName(view, revision);
  if (named !== undefined) return ok(named.oid);
  const oid = parseOid(revision, session.repository.objectFormat);
  if (oid === undefined) return refuse(`no such ref: ${quoteLine(revision)}`);
  const context = session.admissionContext(view);
  return (await session.admission.isReachable(oid, context)) ? ok(oid) : refuse(`no such ref: ${quoteLine(revision)}`);
}
