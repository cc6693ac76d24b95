/** Not wrong, only not for us: git itself can do it. Thrown within the in-process ref transaction, and never out of it. */
export class OnlyGit extends Error {
  override readonly name = 'OnlyGit';
}
