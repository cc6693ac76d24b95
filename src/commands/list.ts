/** `ls`: what one may read, printed as it is found. Memory stays bounded, however long the list is. */
import type { Json } from '../base/json.ts';
import { matchesGlob } from '../base/glob.ts';
import type { Answer, Call } from './command.ts';
import { readableRepositories, type Listed } from './listing.ts';
import { table } from './table.ts';

export async function list(call: Call): Promise<Answer> {
  const { args, parts, principal, signal, origin } = call;
  const pattern = args.optional('PATTERN');
  const verbose = args.has('--verbose');
  const describe = verbose || call.json ? await describer(parts) : async () => '';
  const printed = call.json ? new JsonPages(call) : new TextPages(call, verbose);
  for await (const listed of readableRepositories(parts, { principal, transport: origin.transport, signal })) {
    if (pattern !== undefined && !isNamed(pattern, listed.repository.name)) continue;
    await printed.add(listed, await describe(listed));
  }
  await printed.end();
  return { kind: 'done' };
}

/** Rows printed at once: columns are as wide as the widest among them. */
const PAGE = 500;

class TextPages {
  readonly #call: Call;
  readonly #verbose: boolean;
  #rows: string[][] = [];

  constructor(call: Call, verbose: boolean) {
    this.#call = call;
    this.#verbose = verbose;
  }

  async add({ repository, rights }: Listed, description: string): Promise<void> {
    const { name, owner } = repository;
    this.#rows.push(this.#verbose ? [rights, name, owner, description] : [rights, name]);
    if (this.#rows.length === PAGE) await this.end();
  }

  async end(): Promise<void> {
    const rows = this.#rows;
    this.#rows = [];
    await this.#call.print(table(rows));
  }
}

/** One array, written as `JSON.stringify` with two spaces writes it. */
class JsonPages {
  readonly #call: Call;
  #page: Json[] = [];
  #before = '[\n';

  constructor(call: Call) {
    this.#call = call;
  }

  async add(listed: Listed, description: string): Promise<void> {
    this.#page.push(listedJson(listed, description));
    if (this.#page.length === PAGE) await this.#print();
  }

  async end(): Promise<void> {
    if (this.#page.length > 0) await this.#print();
    await this.#call.print(this.#before === '[\n' ? '[]\n' : '\n]\n');
  }

  async #print(): Promise<void> {
    // Without the brackets and their lines' ends.
    const text = JSON.stringify(this.#page, undefined, 2).slice(2, -2);
    this.#page = [];
    await this.#call.print(`${this.#before}${text}`);
    this.#before = ',\n';
  }
}

async function describer({ siteAccess }: Call['parts']): Promise<(listed: Listed) => Promise<string>> {
  const describe = await siteAccess?.describer();
  return async ({ repository }) =>
    repository.path === undefined ? ((await describe?.(repository.name)) ?? '') : repository.description;
}

function isNamed(pattern: string, name: string): boolean {
  const plain = pattern.replace(/\/+$/, '');
  return /[*?]/.test(pattern) ? matchesGlob(pattern, name) : name === plain || name.startsWith(`${plain}/`);
}

function listedJson({ repository, mayWrite, isOwner }: Listed, description: string): Json {
  const { name, owner } = repository;
  const rights = { read: true, write: mayWrite, own: isOwner };
  if (repository.path === undefined) return { name, owner, description, site: 'gitolite', ...rights };
  const { objectFormat, createdAt } = repository;
  return { name, owner, description, objectFormat, createdAt: new Date(createdAt).toISOString(), ...rights };
}
