/**
 * What a push is about to do upstream, on disk before anything is sent there, and gone when it is known to be the same on
 * both sides. One for each mirror at most: pushes to a repository take turns. Start-up and the next refresh look after one
 * that a crash, or an upstream that fell silent, left behind (`reconcile.ts`).
 */
import { readFields, type Fields } from '../base/fields.ts';
import { Fault } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import { OBJECT_FORMATS, parseOid, type Oid } from '../git/oid.ts';
import { parseRefname, type Refname } from '../git/refname.ts';
import { listAll, type Store, type Stored } from '../store/store.ts';

/** What the upstream was found to have: all of it, nothing of it, or something else. */
export const FINDINGS = ['taken', 'not-taken', 'moved'] as const;
export type Finding = (typeof FINDINGS)[number];

export interface IntendedUpdate {
  readonly refname: Refname;
  readonly oldOid: Oid;
  readonly newOid: Oid;
}

export interface NewIntent {
  readonly repositoryId: string;
  readonly requestId: string;
  /** As the journal names it. */
  readonly principal: string;
  /** The upstream's address, without a secret. */
  readonly to: string;
  readonly updates: readonly IntendedUpdate[];
  readonly options: readonly string[];
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface Intent extends NewIntent {
  /** Undefined: nobody has asked the upstream yet. */
  readonly found: Finding | undefined;
  /** The store's version of it. */
  readonly version: number;
}

/** The intents in the store. Each method is one read or one durable transaction. */
export class Intents {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async find(repositoryId: string): Promise<Intent | undefined> {
    const stored = await this.#store.get('forward', repositoryId);
    return stored && readIntent(stored);
  }

  /** On disk when it resolves. @throws Fault `conflict` where the repository has one already, or is gone. */
  async begin(intent: NewIntent): Promise<Intent> {
    const key = intent.repositoryId;
    const result = await this.#store.transact({
      checks: [
        { kind: 'mirror', key, version: 'any' },
        { kind: 'forward', key, version: 0 },
      ],
      writes: [{ kind: 'forward', key, put: writeIntent(intent) }],
    });
    if (result.kind === 'committed') return { ...intent, found: undefined, version: result.version };
    throw new Fault('conflict', 'another push is being taken upstream', {
      context: { repositoryId: key, check: result.check.kind },
      publicMessage: 'the mirror changed meanwhile: try again',
    });
  }

  /** Writes down what was found; undefined: the intent is not there any more. */
  async note(intent: Intent, found: Finding): Promise<Intent | undefined> {
    const { repositoryId: key, version } = intent;
    const result = await this.#store.transact({
      checks: [{ kind: 'forward', key, version }],
      writes: [{ kind: 'forward', key, put: writeIntent(intent, found) }],
    });
    return result.kind === 'committed' ? { ...intent, found, version: result.version } : undefined;
  }

  /** One that was replaced meanwhile is left alone. */
  async clear({ repositoryId: key, version }: Pick<Intent, 'repositoryId' | 'version'>): Promise<void> {
    await this.#store.transact({
      checks: [{ kind: 'forward', key, version }],
      writes: [{ kind: 'forward', key, delete: true }],
    });
  }

  /** One that does not parse is told of and passed over: `find` throws, so that its mirror stays closed. */
  async *list(onDamaged: (repositoryId: string, error: Fault) => void): AsyncGenerator<Intent> {
    for await (const stored of listAll(this.#store, 'forward')) {
      let intent: Intent | undefined;
      try {
        intent = readIntent(stored);
      } catch (error) {
        if (!(error instanceof Fault) || error.code !== 'corrupt') throw error;
        onDamaged(stored.key, error);
      }
      if (intent !== undefined) yield intent;
    }
  }
}

/** Each ref as `OLD NEW REF`: a push may have 50,000 of them. */
function writeIntent({ requestId, principal, to, updates, options, at }: NewIntent, found?: Finding): Json {
  const refs = updates.map(({ refname, oldOid, newOid }) => `${oldOid} ${newOid} ${refname}`);
  return { requestId, principal, to, refs, options, at, ...(found === undefined ? {} : { found }) };
}

function readIntent(stored: Stored): Intent {
  const about = `forward ${stored.key}`;
  const fields = readFields(stored.value, about);
  return {
    repositoryId: stored.key,
    requestId: fields.text('requestId'),
    principal: fields.text('principal'),
    to: fields.text('to'),
    updates: fields.texts('refs').map((line) => readUpdate(line, about)),
    options: fields.texts('options'),
    at: fields.number('at'),
    found: readFinding(fields),
    version: stored.version,
  };
}

function readFinding(fields: Fields): Finding | undefined {
  return fields.raw('found') === undefined ? undefined : fields.word('found', FINDINGS);
}

function readUpdate(line: string, about: string): IntendedUpdate {
  const [oldText = '', newText = '', ...rest] = line.split(' ');
  const [oldOid, newOid, refname] = [readOid(oldText), readOid(newText), parseRefname(rest.join(' '))];
  if (oldOid === undefined || newOid === undefined || refname === undefined) {
    throw new Fault('corrupt', 'stored object has a wrong field', { context: { about, field: 'refs' } });
  }
  return { refname, oldOid, newOid };
}

function readOid(text: string): Oid | undefined {
  return OBJECT_FORMATS.map((format) => parseOid(text, format)).find((oid) => oid !== undefined);
}
