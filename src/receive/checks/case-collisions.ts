/** Names that are one where case does not count: of what a push adds, those that stand beside such a twin at the new tip. */
import { BOUNDS } from '../../base/bounds.ts';
import { Fault } from '../../base/fault.ts';
import { answered, specOf, type ObjectPlace } from '../../git/objects.ts';
import { treeAnswer } from '../../git/odb/answers-objects.ts';
import { BeyondReach, type Odb } from '../../git/odb/odb.ts';
import { BoundedReader, textOf } from '../../git/odb/walk-objects.ts';
import { entriesOf } from '../../git/odb/walk-trees.ts';
import type { Oid } from '../../git/oid.ts';
import { assertOwnEnd } from '../../git/run.ts';

/** Names added by commits, directories included; folded name -> where. */
export class AddedNames {
  readonly #byFold = new Map<string, { readonly path: string; readonly commit: Oid }>();

  /** @throws Fault `bad-input` where there are too many. */
  add(path: string, commit: Oid): void {
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      const name = path.slice(0, end);
      const fold = foldName(name);
      if (this.#byFold.has(fold)) continue;
      this.#byFold.set(fold, { path: name, commit });
      if (this.#byFold.size > NAMES_MAX) throw tooMany();
    }
  }

  get isEmpty(): boolean {
    return this.#byFold.size === 0;
  }

  /** Where a name with this fold was added. */
  find(name: string): { readonly path: string; readonly commit: Oid } | undefined {
    return this.#byFold.get(foldName(name));
  }
}

const NAMES_MAX = 300_000;
const COLLISIONS_MAX = 1_000;

function tooMany(): Fault {
  const publicMessage = `the push adds more than ${NAMES_MAX} names, too many for a check of their case: push it in parts`;
  return new Fault('bad-input', 'push adds too many names for its checks', { publicMessage });
}

/** As file systems that ignore case compare them; composed and decomposed letters are one as well. */
export function foldName(name: string): string {
  return name.normalize('NFC').toUpperCase().toLowerCase().normalize('NFC');
}

export interface Collision {
  readonly commit: Oid;
  readonly path: string;
  readonly other: string;
}

/** At the tip, names that were added and collide, each with one that it collides with. @throws Fault `process`, `timeout`. */
export async function collisionsAt(place: ObjectPlace, tip: Oid, added: AddedNames): Promise<readonly Collision[]> {
  const collisions = new Collisions(added);
  const own = await answered(place, (odb) => namesAnswer(odb, tip));
  for await (const name of own ?? namesOf(place, tip)) collisions.look(name);
  return collisions.found;
}

class Collisions {
  readonly found: Collision[] = [];
  readonly #added: AddedNames;
  readonly #first = new Map<string, string>();

  constructor(added: AddedNames) {
    this.#added = added;
  }

  look(name: string): void {
    const added = this.#added.find(name);
    if (added === undefined) return;
    const fold = foldName(name);
    const twin = this.#first.get(fold);
    if (twin === undefined) this.#first.set(fold, name);
    else if (twin !== name && this.found.length < COLLISIONS_MAX) {
      const { commit, path } = added;
      this.found.push({ commit, path, other: twin === path ? name : twin });
    }
  }
}

/** Trees that are read for one question without a process, and names in them. */
const OWN_TREES_MAX = 1_000;
const OWN_NAMES_MAX = 20_000;

/** @throws BeyondReach */
async function namesAnswer(odb: Odb, tip: Oid): Promise<readonly string[]> {
  const reader = new BoundedReader(odb, OWN_TREES_MAX);
  const names: string[] = [];
  for await (const { path } of entriesOf(reader, await treeAnswer(odb, tip), { deep: true, trees: true })) {
    if (names.push(textOf(path)) > OWN_NAMES_MAX) throw new BeyondReach('more names than are looked at');
  }
  return names;
}

/** Of every file and directory. @throws Fault `process`, `timeout`. */
async function* namesOf(place: ObjectPlace, tip: Oid): AsyncGenerator<string> {
  const options = ['-r', '-t', '-z', '--full-tree', '--name-only'];
  const question = { subcommand: 'ls-tree', options, operands: [tip] } as const;
  const spec = { ...specOf(place, question), deadlineMs: BOUNDS.checkMs };
  await using git = await place.processes.start(spec);
  git.stdin.end();
  let held = '';
  for await (const chunk of git.stdout.setEncoding('utf8')) {
    const names = `${held}${String(chunk)}`.split('\0');
    held = names.pop() ?? '';
    yield* names;
  }
  const exit = await git.exit;
  assertOwnEnd(exit, spec);
  if (exit.code !== 0) throw new Fault('process', 'git failed', { context: { code: exit.code, stderr: exit.stderr } });
}
