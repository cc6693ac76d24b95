/** The product's version, as package.json says. */
import manifest from '../../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;
/** How the gate names itself on the Git wire: printable ASCII without a space (gitprotocol-v2, "agent"). */
export const AGENT = `gatehouse/${VERSION}`;
