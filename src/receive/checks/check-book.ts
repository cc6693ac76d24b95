/** The checks in force: an annex of the policy, put in force with it, and asked by every push. */
import type { PolicyAnnex } from '../../access/annex.ts';
import type { Principal } from '../../identity/principal.ts';
import { coversRepository, holdsFor, type Check } from './check.ts';
import { isCheckPath, readCheckFiles } from './check-file.ts';

export class CheckBook {
  readonly #isPolicyRepository: (repositoryName: string) => boolean;
  #inForce: readonly Check[] = [];

  constructor(options: { readonly isPolicyRepository: (repositoryName: string) => boolean }) {
    this.#isPolicyRepository = options.isPolicyRepository;
  }

  /** For the policy: `checks/*.toml`. */
  get annex(): PolicyAnnex {
    return {
      name: 'checks of pushes',
      owns: isCheckPath,
      compile: (sources) => {
        const read = readCheckFiles(sources);
        if (read.kind === 'wrong') return read;
        const adopt = (): void => {
          this.#inForce = read.checks;
        };
        return { kind: 'ok', adopt, warnings: [] };
      },
    };
  }

  /** Whether a check asks for signed pushes. */
  wantsCertificate(repositoryName: string, principal: Principal): boolean {
    return this.active(repositoryName, principal).some(({ rules }) => rules.pushCertificate);
  }

  /** What holds for pushes of this principal to this repository. */
  active(repositoryName: string, principal: Principal): readonly Check[] {
    const isPolicy = this.#isPolicyRepository(repositoryName);
    return this.#inForce.filter(
      (check) => coversRepository(check, repositoryName, isPolicy) && holdsFor(check, principal),
    );
  }
}
