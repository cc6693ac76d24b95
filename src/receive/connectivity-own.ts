/**
 * Judging a push without a git process: where its objects are read, what it brings, and why git is asked where it is asked
 * after all.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { inMemory, layered } from '../git/odb/layers.ts';
import { BeyondReach, type Odb } from '../git/odb/odb.ts';
import type { ObjectFormat, Oid } from '../git/oid.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import type { Repository } from '../repository/repository.ts';
import type { Connected } from './connectivity.ts';
import { groundOf, proveConnected } from './connectivity-proof.ts';
import { PROOF_GAPS, PushObjects, Unproven } from './connectivity-walk.ts';
import type { Ingested } from './ingest.ts';

/** The gate's own reading of repositories. */
export interface OdbSource {
  of(gitDir: string, format: ObjectFormat): Odb;
}

/**
 * Why git was asked about a push: its pack was indexed by git; its client or the repository is shallow, or the repository has
 * grafts; or its connectivity is not proved (`ProofGap`).
 */
export const FALLBACK_REASONS = ['pack', 'shallow', ...PROOF_GAPS] as const;
export type FallbackReason = (typeof FALLBACK_REASONS)[number];

export interface OwnQuestion {
  readonly snapshot: RefSnapshot;
  readonly mayRead: ((refname: string) => boolean) | undefined;
  readonly olds: readonly Oid[];
  readonly tips: readonly Oid[];
  readonly signal: AbortSignal;
}

/** Of one push. */
export class OwnJudge {
  readonly #repository: Odb;
  #odb: Odb;
  #ingested: Ingested = { kind: 'empty' };
  #brought: PushObjects | undefined;

  private constructor(repository: Odb) {
    this.#repository = repository;
    this.#odb = repository;
  }

  /** Undefined where history is not what commits say: git knows of shallow borders and grafts. */
  static of(source: OdbSource, { path, objectFormat }: Repository): OwnJudge | undefined {
    const isOdd = existsSync(join(path, 'shallow')) || existsSync(join(path, 'info', 'grafts'));
    return isOdd ? undefined : new OwnJudge(source.of(path, objectFormat));
  }

  /** Where the repository's objects and the push's are read; undefined where the push's lie in a pack that git indexed. */
  get odb(): Odb | undefined {
    return this.#isInMemory ? this.#odb : undefined;
  }

  /** What the push brings, once that is proved to be connected. */
  get brought(): PushObjects | undefined {
    return this.#brought;
  }

  see(ingested: Ingested): void {
    this.#ingested = ingested;
    if (ingested.kind === 'indexed' && ingested.small !== undefined) {
      this.#odb = layered(inMemory(ingested.small.objects), this.#repository);
    }
  }

  /** @throws Fault `aborted`. */
  async connect(
    question: OwnQuestion,
  ): Promise<Connected | { readonly kind: 'unproven'; readonly why: FallbackReason }> {
    const { tips, signal } = question;
    if (!this.#isInMemory) return { kind: 'unproven', why: 'pack' };
    const small = this.#ingested.kind === 'indexed' ? this.#ingested.small : undefined;
    const objects = new PushObjects(groundOf({ ...question, small, repository: this.#repository }));
    try {
      const connected = await proveConnected(objects, tips, signal);
      // A change of a hidden object holds all of it.
      if (question.mayRead !== undefined && small !== undefined) {
        await (await objects.walk(tips)).assertBases(small.bases);
      }
      this.#brought = objects;
      return connected;
    } catch (error) {
      if (error instanceof BeyondReach) return { kind: 'unproven', why: reasonOf(error) };
      throw error;
    }
  }

  get #isInMemory(): boolean {
    return this.#ingested.kind === 'empty' || this.#ingested.small !== undefined;
  }
}

function reasonOf(error: BeyondReach): FallbackReason {
  return error instanceof Unproven ? error.why : 'out-of-reach';
}
