/**
 * Breaks a gate on purpose: loaded before it (`node --import`), it changes the text of a module on its way in. What
 * `SABOTAGE` names has to be caught by the checks of the soak; a text that is not found any more ends the gate.
 */
import { registerHooks } from 'node:module';

interface Change {
  readonly file: string;
  readonly from: string | RegExp;
  readonly to: string;
}

const SABOTAGES: Readonly<Record<string, readonly Change[]>> = {
  /** Pushes as `+` does: whatever the upstream has by now is overwritten. */
  lease: [
    { file: '/upstream/wire/push.ts', from: 'refusedLease(asked, greeting) ??', to: '' },
    {
      file: '/upstream/wire/push.ts',
      from: '`${oldOid} ${newOid} ${refname}`',
      to: '`${greeting.refs.get(refname) ?? "0".repeat(oldOid.length)} ${newOid} ${refname}`',
    },
    { file: '/upstream/wire/push.ts', from: '{ capabilities, objectFormat }: GreetingV0', to: 'greeting: GreetingV0' },
    {
      file: '/upstream/wire/push.ts',
      from: 'const can = (name: string): boolean => capabilities.has(name);',
      to: 'const { capabilities, objectFormat } = greeting; const can = (name: string): boolean => capabilities.has(name);',
    },
  ],
  /** Nobody looks after a push that was on its way when the gate ended. */
  reconcile: [
    {
      file: '/upstream/reconcile.ts',
      from: 'const left = await this.#leftOver(repository.id);',
      to: 'const left: Intent | undefined = undefined as Intent | undefined;',
    },
    {
      file: '/upstream/reconcile.ts',
      from: 'if (left === undefined) return true;',
      to: 'if (left === undefined || Date.now() > 0) return true;',
    },
  ],
};

const changes = SABOTAGES[process.env['SABOTAGE'] ?? ''] ?? [];

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    const own = changes.filter(({ file }) => url.endsWith(file));
    if (own.length === 0) return loaded;
    let source = Buffer.from(loaded.source as Uint8Array).toString();
    for (const { from, to } of own) {
      const changed = source.replace(from, () => to);
      if (changed === source) throw new Error(`nothing to break in ${url}: ${String(from)}`);
      source = changed;
    }
    return { ...loaded, source };
  },
});
