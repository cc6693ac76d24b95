/** The forge of a place, spoken to with a token. */
import type { Clock } from '../../base/clock.ts';
import { ForgeClient } from './forge-client.ts';
import type { Forge, ForgeKind, ForgePlace } from './forge.ts';
import { createGitea, GITEA_NEEDS, giteaHeaders } from './gitea.ts';
import { createGithub, GITHUB_NEEDS, githubHeaders } from './github.ts';
import { createGitlab, GITLAB_NEEDS, gitlabHeaders } from './gitlab.ts';

interface Dialect {
  readonly needs: string;
  readonly headers: (token: string) => Readonly<Record<string, string>>;
  readonly create: (place: ForgePlace, client: ForgeClient) => Forge;
}

const DIALECTS: Readonly<Record<ForgeKind, Dialect>> = {
  gitea: { needs: GITEA_NEEDS, headers: giteaHeaders, create: createGitea },
  github: { needs: GITHUB_NEEDS, headers: githubHeaders, create: createGithub },
  gitlab: { needs: GITLAB_NEEDS, headers: gitlabHeaders, create: createGitlab },
};

export interface ForgeOptions {
  readonly place: ForgePlace;
  readonly token: string;
  readonly clock: Pick<Clock, 'after'>;
}

export function createForge({ place, token, clock }: ForgeOptions): Forge {
  const { needs, headers, create } = DIALECTS[place.kind];
  return create(place, new ForgeClient({ place, token, needs, clock, headers: headers(token) }));
}
