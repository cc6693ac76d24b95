/** One secret that the scan found, as people and the journal may see it. */

export interface Finding {
  /** `aws-access-token`. */
  readonly rule: string;
  readonly description: string;
  /** Where: what kind of thing, its path in the tree or refname, its oid. */
  readonly kind: 'blob' | 'commit' | 'tag' | 'tree' | 'path' | 'refname' | 'lfs' | 'text';
  readonly path: string;
  readonly oid: string;
  /** Inside archives: `vendor.zip!/config/.env`, else empty. */
  readonly inner: string;
  /** From 1, in the decoded text; 0 where the path itself is the finding. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** A few characters of the secret and its length: never the secret. */
  readonly redacted: string;
  /** SHA-256, hex, over rule and secret: the same secret has it wherever it lies. */
  readonly fingerprint: string;
  /** An inline comment or an allow-list says that this is no secret: still a finding, as a question. */
  readonly excused?: string;
}
