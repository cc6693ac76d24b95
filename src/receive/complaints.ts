/** What git says when it refuses, for people: never branched on. */
/** Lines of git's that a person can use, without paths of this machine. */
export function complaints(stderr: string, repositoryPath: string): readonly string[] {
  const lines = stderr.replaceAll(repositoryPath, '.').split('\n');
  const useful = lines.filter((line) => /^(?:error|fatal|warning): /.test(line));
  return useful
    .slice(-20)
    .map((line) => line.replace(/^(?:error|fatal): /, '').replaceAll(/\/[\w./-]*\/objects\//g, 'objects/'));
}
