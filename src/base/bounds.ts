/**
 * Every limit that a client, a person or an operator can meet and that is not a setting, in one table with its unit.
 * What a site may want to change is a setting in `gatehouse.toml` (see `base/config.ts`) and has its default there.
 * Limits that tests lower are tables of their own (`ADMISSION_LIMITS`, `HTTP_LIMITS`, `API_LIMITS`,
 * `DEFAULT_RECEIVE_LIMITS`, `LACE_LIMITS`); numbers that only shape one algorithm (pages, slices, retries) stay with it.
 */
const KIB = 1024;
const MIB = 1024 * KIB;

export const BOUNDS = {
  /** A pkt-line, its four length digits included (gitprotocol-common, "pkt-line Format"). */
  pktBytesMax: 65_520,
  /** Ref updates in one push. */
  pushCommandsMax: 50_000,
  /** Bytes of the command section of one push. */
  pushCommandBytesMax: 16 * MIB,
  /** Push options in one push, and bytes of one. */
  pushOptionsMax: 64,
  pushOptionBytesMax: 1 * KIB,
  /** Bytes of a v2 request (arguments of one command), or of v0 wants and haves of one round. */
  fetchRequestBytesMax: 32 * MIB,
  /** Wants in one fetch. */
  fetchWantsMax: 200_000,
  /** `ref-prefix` arguments honoured; beyond them all refs are listed, as git does. */
  refPrefixesMax: 4_096,
  /** A refname in bytes. */
  refnameBytesMax: 1_024,
  /** A repository name in bytes. */
  repositoryNameBytesMax: 255,
  /** Bytes kept of a child's standard error. */
  stderrBytesMax: 64 * KIB,
  /** Bytes collected of a child's standard output where it is collected at all. */
  collectedOutputBytesMax: 64 * MIB,
  /** A command's standard input (keys, rules, scenarios). */
  commandInputBytesMax: 1 * MIB,
  /** Bytes read of a note that lies on a gitolite site: a message of the day, why it is down. */
  siteNoteBytesMax: 64 * KIB,
  /** A gitolite site's fetch from another host, before a client's request goes on. */
  siteFetchMs: 5 * 60_000,
  /** A push taken upstream: from its last byte sent to the upstream's report, whose hooks may think; then its refs are asked for. */
  forwardReportMs: 10 * 60_000,
  /** One question for an upstream's refs after it fell silent, and how often it is asked. */
  forwardAskMs: 10_000,
  forwardAsksMax: 4,
  /** How long start-up waits for upstreams that fell silent before the gate ended. */
  forwardStartMs: 3_000,
  /** A command line received over SSH. */
  commandLineBytesMax: 8 * KIB,
  /** Words of one command. */
  commandWordsMax: 256,
  /** Bytes of all rules and scenarios together. */
  policyBytesMax: 4 * MIB,
  /** Bytes of one repository's own rules. */
  repositoryRulesBytesMax: 64 * KIB,
  /** Records of the store held in memory, in bytes by estimate. */
  keptReadsBytesMax: 32 * MIB,
  /** Refs caches held in memory, in bytes, over all repositories. */
  refCacheBytesMax: 64 * MIB,
  /** Annotated-tag peelings remembered. */
  peelCacheMax: 200_000,
  /** Objects read without git: the largest one; bytes held of packs and indexes, and of decoded objects; files open at once; directories. */
  odbReadBytesMax: 8 * MIB,
  odbBlockBytesMax: 32 * MIB,
  odbObjectBytesMax: 32 * MIB,
  odbFilesMax: 256,
  odbDirectoriesMax: 1_024,
  /** A destroy or delete token's life. */
  confirmationMs: 10 * 60_000,
  /** Running requests at shutdown. */
  drainMs: 10_000,
  /** After the drain: for requests that were aborted, and before connections that still run are cut. */
  abortGraceMs: 2_000,
  closeGraceMs: 3_000,
  /** Connections at once that have not logged in over SSH, and of these from one address. */
  sshStrangersMax: 256,
  sshStrangersPerAddressMax: 128,
  /** A silent SSH client is asked for a sign of life this often, and given up after so many unanswered questions. */
  sshKeepAliveMs: 30_000,
  sshKeepAliveMissesMax: 3,
  /** How long the offer of an SSH key exchange waits for the client's: what a client pays at most that waits for ours. */
  sshOfferHoldMs: 10,
  /** The same for clients of the same machine or a private network: theirs is late only where processors are busy. */
  sshOfferHoldNearMs: 40,
  /** Sessions at once on one SSH connection, as OpenSSH's MaxSessions. */
  sshSessionsMax: 10,
  /** A client whose packets are smaller would make us send millions of them. RFC 4253, 6.1 asks for 32,768. */
  sshClientPacketBytesMin: 512,
  /** Connections at once on the control socket, and how long one has to send its command. */
  controlConnectionsMax: 1_024,
  controlHelloMs: 10_000,
  /** Words and variables of one call of a gitolite site's programs, together. */
  siteCallBytesMax: 2 * MIB,
  /** An SSH connection that has not authenticated; failed attempts on one connection. */
  sshAuthMs: 30_000,
  sshAuthAttemptsMax: 20,
  /** Work that waits for nothing (deciding about many refs) before others get a turn of the event loop. */
  stintMs: 4,
  /** Journal lines about clients turned away within a window: in all, and of one address; the rest is counted. */
  turnedAwayWindowMs: 60_000,
  turnedAwayLinesMax: 600,
  turnedAwayLinesPerAddressMax: 60,
  /** Bits of an RSA key. */
  rsaBitsMin: 2_048,
  rsaBitsMax: 16_384,
  /** A token's life, where it has an end. */
  tokenLifeMsMin: 1_000,
  tokenLifeMsMax: 10 * 366 * 86_400_000,
  /** Lines that `audit log` shows at once, and of these held in memory; lines of git's that `fsck` and `gc` keep. */
  auditLogLinesMax: 1_000_000,
  auditLogHeldMax: 1_000,
  upkeepLinesMax: 10_000,
  /** Refs of a push written out in its journal line; the rest is counted, and stands in the repository's log. */
  journalRefsMax: 1_000,
  /** Upkeep of one repository, from start to end. */
  gcMs: 6 * 3_600_000,
  fsckMs: 6 * 3_600_000,
  countObjectsMs: 5 * 60_000,
  copyRefsMs: 10 * 60_000,
  copyPackMs: 4 * 3_600_000,
  /** Keys of one user, groups nested below one another, members shown. */
  keysPerUserMax: 1_000,
  groupDepthMax: 64,
  /** Tokens of one user, expired ones included; confirmations one principal has open. */
  tokensPerUserMax: 1_000,
  confirmationsPerPrincipalMax: 100,
  /** Keys of one user that sign commits, tags and pushes; bytes of an OpenPGP key in armor. */
  signingKeysPerUserMax: 100,
  openPgpKeyBytesMax: 64 * KIB,
  /** Passes of one user, ended ones that are still on record included. */
  passesPerUserMax: 1_000,
  /** Repositories, ref patterns and ranges of addresses of one pass, each. */
  passPatternsMax: 32,
  passPurposeBytesMax: 200,
  passPushesMax: 1_000_000,
  passLifeMsMin: 1_000,
  /** An ended pass can be shown this long; so many are taken out when another is issued. */
  passKeepMs: 7 * 86_400_000,
  passesSweptMax: 100,
  /** Rules about CI identities, and so key sets of issuers that are remembered. */
  trustRulesMax: 200,
  /** An identity token that is exchanged for a pass: its size, how long it may live, how far clocks may differ. */
  idTokenBytesMax: 16 * KIB,
  idTokenLifeMsMax: 24 * 3_600_000,
  idTokenSkewMs: 30_000,
  /** Form of an exchange. */
  exchangeBytesMax: 32 * KIB,
  /** A key set: its size, how long its answer may take, how long it is fresh, and good where no newer can be had. */
  keySetBytesMax: 256 * KIB,
  keySetFetchMs: 5_000,
  keySetFreshMs: 10 * 60_000,
  keySetStaleMs: 3_600_000,
  /** At least between two fetches of one key set. */
  keySetCooldownMs: 30_000,
  /** A stored key's or token's last use is at most this much behind: no durable write a request. */
  lastUseStepMs: 3_600_000,
  /** Users whose resolved groups are remembered. */
  resolvedGroupsMax: 50_000,
  /** Bytes of a public key line, an e-mail address, a real name, a description. */
  publicKeyBytesMax: 16 * KIB,
  emailBytesMax: 254,
  realNameBytesMax: 256,
  descriptionBytesMax: 1 * KIB,
  /** Settings of one repository, bytes of a key and of one value, entries of a list. */
  settingsMax: 256,
  settingKeyBytesMax: 128,
  settingValueBytesMax: 4 * KIB,
  settingListMax: 1_000,
  /** Own rules held in memory, in repositories; held compiled, in texts and their characters. */
  ownRulesHeldMax: 1_000,
  ownRulesCompiledMax: 500,
  ownRulesCompiledCharsMax: 4 * MIB,
  /** Bytes of lists of refs kept as they go over the wire, over all repositories, and of the largest one kept. */
  encodedListsBytesMax: 64 * MIB,
  encodedListBytesMax: 16 * MIB,
  /** Different sets of readable refs remembered with one snapshot. */
  viewsMax: 16,
  /** A tip that was moved away stays fetchable this long: a client may have been shown it just before. */
  recentTipMs: 2 * 60_000,
  /** Such tips remembered for one repository; repositories and refs watched for them. */
  recentTipsMax: 1_024,
  recentTipRepositoriesMax: 256,
  recentTipRefsMax: 200_000,
  /** Object walks that prove what may be read: at once, waiting, and of these for one user or one address without a name. */
  walksMax: 3,
  walkQueueMax: 1_024,
  walkQueuePerPrincipalMax: 256,
  /** Bytes of remembered walks over all repositories, and objects of one. */
  walkCacheBytesMax: 64 * MIB,
  walkObjectsMax: 1_000_000,
  /** One question to git about what may be read. */
  reachabilityMs: 5 * 60_000,
  /** One pack or archive, from start to end. */
  packMs: 4 * 3_600_000,
  /** A client that neither sends nor takes a byte where it is its turn. */
  clientIdleMs: 10 * 60_000,
  /** Capability lines of one v2 request; arguments and argument bytes of one archive. */
  v2CapabilityLinesMax: 64,
  archiveArgumentsMax: 64,
  archiveArgumentBytesMax: 64 * KIB,
  /** Who-reads-which-refs answers kept: askers of one policy whom nobody serves just now, and refs of one asker. */
  readPredicatesMax: 256,
  readAnswersMax: 100_000,
  /** Held pushes on record, decided ones included; refs of one, reasons over all of them; bytes of one reason and of all. */
  heldRecordsMax: 5_000,
  heldRefsMax: 1_000,
  heldReasonsMax: 2_000,
  heldReasonBytesMax: 8 * KIB,
  heldReasonsBytesMax: 1 * MIB,
  /** Between two looks for held pushes that expired, and how many one look ends. */
  heldSweepMs: 60_000,
  heldSweepMax: 200,
  /** Checks of the policy (`checks/*.toml`). */
  checksMax: 500,
  /** What checks look at in one push: commits, changes of files in them, and the time for all of it. */
  checkCommitsMax: 100_000,
  checkPathsMax: 1_000_000,
  checkMs: 20 * 60_000,
  /** Broken rules of one push that are written out to the client; the rest is counted. */
  checkFailuresShownMax: 50,
  /** Bytes of a commit that is parsed, of a message that patterns match, of a `.gitmodules`. */
  checkCommitBytesMax: 1 * MIB,
  checkMessageBytesMax: 16 * KIB,
  checkModulesBytesMax: 256 * KIB,
  /** A push certificate with its signature; how old the nonce in it may be; nonces remembered against replay. */
  pushCertificateBytesMax: 32 * KIB,
  pushNonceMs: 10 * 60_000,
  pushNoncesMax: 100_000,
  /** Objects that the secret scan looks at in one push. */
  scanObjectsMax: 1_000_000,
  /** Findings of one push that are written out: to the client, and in its journal line. */
  scanFindingsShownMax: 20,
  /** A waiver's life, where nothing is said, and at most. */
  waiverMs: 90 * 86_400_000,
  waiverMsMax: 2 * 366 * 86_400_000,
  waiverReasonBytesMax: 1 * KIB,
  /** What `hold show` prints of a held push: refs; of each of them commits, paths, bytes of its patch. */
  heldRefsShownMax: 50,
  heldCommitsShownMax: 100,
  heldPathsShownMax: 500,
  heldPatchBytesMax: 256 * KIB,
  /** Mirrors of one gate; patterns of refs, host keys and refs of one; the age that it may be served with. */
  mirrorsMax: 20_000,
  mirrorPatternsMax: 64,
  mirrorHostKeysMax: 16,
  mirrorRefsMax: 500_000,
  mirrorFreshMsMax: 24 * 3_600_000,
  /** Bytes of a file of the command line with a credential for an upstream or its authorities; of one credential, of a token. */
  upstreamFileBytesMax: 256 * KIB,
  upstreamCredentialBytesMax: 64 * KIB,
  upstreamTokenBytesMax: 8 * KIB,
  /** A Git LFS pointer is smaller (git-lfs docs/spec.md); objects and bytes of one batch request. */
  lfsPointerBytesMax: 1_024,
  lfsBatchObjectsMax: 1_000,
  lfsRequestBytesMax: 256 * KIB,
  /** How long what a client was given for LFS lets it in; how many such grants there are at once, and of one credential. */
  lfsGrantMs: 15 * 60_000,
  lfsGrantsMax: 20_000,
  lfsGrantsPerCredentialMax: 200,
  /** LFS objects on their way from upstreams at the same time. */
  lfsFlightsMax: 64,
  /** Refused LFS uploads whose reasons are remembered. */
  lfsRefusalsMax: 2_000,
  /** LFS pointers of one push. */
  lfsPointersMax: 100_000,
  /** A forge's API: one answer's bytes and time, pages of a list, tries, the wait between them, the longest one that it may ask for. */
  forgeAnswerBytesMax: 4 * MIB,
  forgeAnswerMs: 30_000,
  forgePagesMax: 100,
  forgeTriesMax: 4,
  forgeRetryMs: 500,
  forgeRetryAfterMsMax: 30_000,
  /** Bytes of a forge's webhook; the secret of one, before base64url. */
  hookBytesMax: 32 * MIB,
  hookSecretBytes: 32,
} as const;
