/** Commands that somebody on the server calls: they make the site and tell what its conf says. */
import { access } from './access.ts';
import type { SiteCommand } from './command.ts';
import { compile } from './compile.ts';
import { compileTemplateData } from './compile-template-data.ts';
import { creator, owns } from './creator.ts';
import { gitConfig } from './git-config.ts';
import { LIST_COMMANDS } from './list.ts';
import { setup } from './setup.ts';

export const SERVER_COMMANDS: readonly SiteCommand[] = [
  access,
  compile,
  compileTemplateData,
  creator,
  gitConfig,
  ...LIST_COMMANDS,
  owns,
  setup,
];
