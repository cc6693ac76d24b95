/** Where clients find bundles: below the repository that they came to over HTTP, else where the site says that HTTP is. */
import type { Settings } from '../base/settings.ts';
import type { WalkParts } from '../request/walk-parts.ts';
import { BUNDLE_NAME } from '../transport/http-bundle.ts';

/** A client takes a URL without a scheme to be below that of the repository (transport.c, `transport_get_remote_bundle_uri`). */
export function bundleUrls({ httpUrl }: Pick<Settings, 'httpUrl'>): NonNullable<WalkParts['bundleUrl']> {
  const site = httpUrl.replace(/\/+$/, '');
  return (transport, { name }) => {
    if (transport === 'http') return BUNDLE_NAME;
    return site === '' || transport === 'local' ? undefined : `${site}/${name}.git/${BUNDLE_NAME}`;
  };
}
