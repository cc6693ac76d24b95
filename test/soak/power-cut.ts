/**
 * A power cut, simulated: repositories on an ext4 image on a loop device; the image is copied without any sync right
 * after an acknowledgement; the copy is repaired, mounted and looked at. Needs root and a loop device.
 */
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSite, type Site, type SiteOptions } from '../receive/site.ts';
import { cleanEnvironment, expectRun, run } from '../support/workspace.ts';
import { fsck, readRefs } from './crash-check.ts';

const IMAGE_BYTES = 96 * 1024 * 1024;

export interface PowerCutRow {
  readonly configuration: string;
  readonly cuts: number;
  /** Acknowledged values of the shared branch and of the push's own branch that are gone. */
  sharedLost: number;
  ownLost: number;
  /** Copies in which git or the gate's recovery finds something broken. */
  broken: number;
}

/** One way of storing pushes. `root` lies on the image. */
export interface Configuration {
  readonly name: string;
  /** Pushes HEAD of `tree` to both refs, in one push; resolves when it is acknowledged. */
  open(root: string): Promise<{ push(tree: string, refs: readonly string[]): Promise<void>; close(): Promise<void> }>;
  /** What start-up does on the copy; gives the bare repository's path. Throws where it cannot. */
  recover(root: string): Promise<{ readonly repositoryPath: string; close(): Promise<void> }>;
}

/** Undefined where the machine can do it, else why not. */
export async function missingForPowerCut(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'not root';
  for (const program of ['mkfs.ext4', 'e2fsck', 'losetup', 'mount', 'umount']) {
    if ((await run('sh', ['-c', `command -v ${program}`])).code !== 0) return `no ${program}`;
  }
  const probe = mkdtempSync(join(tmpdir(), 'gatehouse-probe-'));
  try {
    const image = await makeImage(join(probe, 'image'));
    await using mounted = await mount(image, join(probe, 'mounted'));
    return mounted.path === '' ? 'no mount' : undefined;
  } catch (error) {
    return `no loop device: ${String(error).split('\n').slice(0, 2).join(' ')}`;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

export async function cutPower(configuration: Configuration, cuts: number): Promise<PowerCutRow> {
  const row: PowerCutRow = { configuration: configuration.name, cuts, sharedLost: 0, ownLost: 0, broken: 0 };
  const work = mkdtempSync(join(tmpdir(), 'gatehouse-power-'));
  try {
    const image = await makeImage(join(work, 'image'));
    const tree = join(work, 'tree');
    const env = cleanEnvironment(work);
    await expectRun('git', ['init', '-q', '-b', 'main', tree], { env });
    const oids: string[] = [];
    {
      await using mounted = await mount(image, join(work, 'mounted'));
      const server = await configuration.open(mounted.path);
      try {
        for (let cut = 0; cut < cuts; cut += 1) {
          writeFileSync(join(tree, 'file'), `${cut}\n`.repeat(2_000));
          await expectRun('git', ['add', 'file'], { cwd: tree, env });
          await expectRun('git', ['commit', '-q', '-m', `Cut ${cut}`], { cwd: tree, env });
          oids.push(await expectRun('git', ['rev-parse', 'HEAD'], { cwd: tree, env }));
          await server.push(tree, ['refs/heads/shared', own(cut)]);
          // As the disk is at this moment: what the kernel has not written is lost.
          await expectRun('cp', ['--sparse=always', image, `${image}-${cut}`]);
        }
      } finally {
        await server.close();
      }
    }
    for (const [cut, oid] of oids.entries())
      await judge({ configuration, row, image: `${image}-${cut}`, cut, oid, work });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return row;
}

function own(cut: number): string {
  return `refs/heads/own/${cut}/branch`;
}

interface Judging {
  readonly configuration: Configuration;
  readonly row: PowerCutRow;
  readonly image: string;
  readonly cut: number;
  readonly oid: string;
  readonly work: string;
}

async function judge({ configuration, row, image, cut, oid, work }: Judging): Promise<void> {
  await run('e2fsck', ['-p', image]); // as a machine does when it comes up again
  await using mounted = await mount(image, join(work, `copy-${cut}`));
  try {
    const recovered = await configuration.recover(mounted.path);
    try {
      const refs = await readRefs(recovered.repositoryPath);
      if (refs.get('refs/heads/shared') !== oid) row.sharedLost += 1;
      if (refs.get(own(cut)) !== oid) row.ownLost += 1;
      if ((await fsck(recovered.repositoryPath)).length > 0) row.broken += 1;
    } finally {
      await recovered.close();
    }
  } catch {
    row.sharedLost += 1;
    row.ownLost += 1;
    row.broken += 1;
  }
}

async function makeImage(path: string): Promise<string> {
  writeFileSync(path, '');
  truncateSync(path, IMAGE_BYTES);
  await expectRun('mkfs.ext4', ['-q', '-F', path]);
  return path;
}

async function mount(image: string, path: string): Promise<{ readonly path: string } & AsyncDisposable> {
  mkdirSync(path, { recursive: true });
  await expectRun('mount', ['-o', 'loop', image, path]);
  return {
    path,
    async [Symbol.asyncDispose]() {
      const first = await run('umount', [path]);
      if (first.code !== 0) await expectRun('umount', ['-l', path]);
    },
  };
}

/** git's own receive-pack, started by the client itself. */
export function gitConfiguration(name: string, config: Readonly<Record<string, string>>): Configuration {
  return {
    name,
    async open(root) {
      const bare = join(root, 'r.git');
      const env = cleanEnvironment(root);
      await expectRun('git', ['init', '-q', '--bare', bare], { env });
      for (const [key, value] of Object.entries(config))
        await expectRun('git', ['-C', bare, 'config', key, value], { env });
      // Making the repository is not what is tested.
      await expectRun('sync', ['-f', root]);
      return {
        async push(tree, refs) {
          await expectRun('git', ['push', '-q', bare, ...refs.map((ref) => `HEAD:${ref}`)], { cwd: tree, env });
        },
        close: async () => {},
      };
    },
    recover: async (root) => ({ repositoryPath: join(root, 'r.git'), close: async () => {} }),
  };
}

/** The push pipeline with its store and its journal on the image too. */
export function gatehouseConfiguration(name: string, options: SiteOptions = {}): Configuration {
  const closing = (site: Site) => ({ close: () => site.close() });
  return {
    name,
    async open(root) {
      const site = await startSite({ ...options, root: join(root, 'data') });
      const env = cleanEnvironment(root);
      return {
        async push(tree, refs) {
          await expectRun('git', ['push', '-q', site.gitUrl, ...refs.map((ref) => `HEAD:${ref}`)], { cwd: tree, env });
        },
        ...closing(site),
      };
    },
    async recover(root) {
      const site = await startSite({ ...options, root: join(root, 'data') });
      if (site.recovery.failed.length === 0) return { repositoryPath: site.repository.path, ...closing(site) };
      await site.close();
      throw new Error('recovery failed');
    },
  };
}

/** The same, each ref in a push of its own beside others, so that they share turns; the last one heard is the moment of the cut. */
export function crowdConfiguration(name: string): Configuration {
  const plain = gatehouseConfiguration(name);
  let round = 0;
  return {
    ...plain,
    async open(root) {
      const server = await plain.open(root);
      return {
        async push(tree, refs) {
          round += 1;
          const others = ['a', 'b', 'c/d', 'e'].map((ref) => `refs/heads/crowd/${round}/${ref}`);
          await Promise.all([...others, ...refs].map((ref) => server.push(tree, [ref])));
        },
        close: () => server.close(),
      };
    },
  };
}

/** Gatehouse without a single sync of its own or of git's: the checker has to notice. */
export function deafConfiguration(): Configuration {
  return gatehouseConfiguration('gatehouse, deaf: nothing synced', {
    parts: {
      durable: {
        syncFile: async () => {},
        syncDirectory: async () => {},
        async writeFile(path, data) {
          writeFileSync(path, data);
        },
        async createFile(path, data) {
          writeFileSync(path, data);
        },
      },
    },
    wrapProcesses: (processes) => ({
      start: (spec) => processes.start({ ...spec, config: { ...spec.config, 'core.fsync': 'none' } }),
      get started() {
        return processes.started;
      },
      close: () => processes.close(),
    }),
  });
}
