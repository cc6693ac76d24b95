/** Every command there is, in the order in which `help` lists them. */
import { ACCESS_COMMANDS } from './access.ts';
import { AUDIT_COMMANDS } from './audit.ts';
import type { Command } from './command.ts';
import { CONFIG_COMMANDS } from './config.ts';
import { CREDENTIAL_COMMANDS } from './credential.ts';
import { GITOLITE_COMMANDS } from './gitolite.ts';
import { GRAVEYARD_COMMANDS } from './graveyard.ts';
import { GROUP_COMMANDS } from './group.ts';
import { HOLD_COMMANDS } from './hold.ts';
import { MIRROR_COMMANDS } from './mirror.ts';
import type { CommandParts } from './parts.ts';
import { PASS_COMMANDS } from './pass.ts';
import { POLICY_COMMANDS } from './policy.ts';
import { REPOSITORY_COMMANDS } from './repository.ts';
import { createRunner, type CommandRunner } from './runner.ts';
import { SCAN_COMMANDS } from './scan.ts';
import { SELF_COMMANDS } from './self.ts';
import { SIGNING_KEY_COMMANDS } from './signing-key.ts';
import { UPKEEP_COMMANDS } from './upkeep.ts';
import { USER_COMMANDS } from './user.ts';

export const COMMANDS: readonly Command[] = [
  ...SELF_COMMANDS,
  ...REPOSITORY_COMMANDS,
  ...GRAVEYARD_COMMANDS,
  ...CONFIG_COMMANDS,
  ...USER_COMMANDS,
  ...GROUP_COMMANDS,
  ...CREDENTIAL_COMMANDS,
  ...PASS_COMMANDS,
  ...SIGNING_KEY_COMMANDS,
  ...MIRROR_COMMANDS,
  ...HOLD_COMMANDS,
  ...SCAN_COMMANDS,
  ...ACCESS_COMMANDS,
  ...POLICY_COMMANDS,
  ...GITOLITE_COMMANDS,
  ...AUDIT_COMMANDS,
  ...UPKEEP_COMMANDS,
];

export function createCommands(parts: CommandParts): CommandRunner {
  return createRunner(parts, COMMANDS);
}
