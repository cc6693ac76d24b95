/**
 * The settings file of a new site. It is Perl that gitolite itself could read, and its lines are the ones that administrators
 * and their scripts know: what is off stands there behind a `#`, to be switched on by taking that away.
 */

export function defaultRcText(): string {
  return TEXT;
}

const TEXT = String.raw`# Settings of this site, in the language of gitolite's own settings file (Perl).
#
# To switch something on, take away the # in front of it. Every item ends in a comma, the last one too; texts stand in
# single quotes. Nothing in this file is run: it is read for the values that it gives. What of it is not understood
# is shown by 'gitolite query-rc --unclear'.

%RC = (

    # Permissions of what is made here: 0077 is for this account alone, 0027 lets its group read (gitweb, cgit).
    UMASK                           =>  0077,

    # Patterns of the git config keys that 'config' lines of the conf may set, with blanks between them. Empty: none.
    GIT_CONFIG_KEYS                 =>  '',

    # More detail in the log. Take the line away for less.
    LOG_EXTRA                       =>  1,

    # Where the log goes: without any of these, to the log file below ~/.gitolite/logs.
    # Only to syslog:
    # LOG_DEST                      => 'syslog',
    # To both:
    # LOG_DEST                      => 'syslog,normal',
    # With 'repo-log', what was pushed is written to 'gl-log' in the repository as well:
    # LOG_DEST                      => 'repo-log,normal',
    # LOG_DEST                      => 'repo-log,syslog',
    # LOG_DEST                      => 'repo-log,syslog,normal',
    # The syslog facility, 'local0' where nothing is said:
    # LOG_FACILITY                  => 'local4',

    # Names that 'perms' may give to people in repositories which they made. Run 'gitolite compile' after a change.
    ROLES => {
        READERS                     =>  1,
        WRITERS                     =>  1,
    },

    # ------------------------------------------------------------------

    # Shown below what 'info' and 'help' say:
        # SITE_INFO                 =>  'help: https://git.example.com/help',

    # What CpuTime does after each request: show times, or warn above so many seconds:
        # DISPLAY_CPU_TIME          =>  1,
        # CPU_TIME_WARN_LIMIT       =>  0.1,

    # The name of this server, for 'Mirroring' and for %HOSTNAME in the conf:
        # HOSTNAME                  =>  "foo",

    # ------------------------------------------------------------------

    # Where the site's own commands, triggers, hooks and VREFs lie: a directory of this server,
        # LOCAL_CODE                =>  "$ENV{HOME}/local",

    # or 'local' in the gitolite-admin repository. Who may push there may then run programs here.
        # LOCAL_CODE                =>  "$rc{GL_ADMIN_BASE}/local",

    # ------------------------------------------------------------------

    # Remote commands and features.

    ENABLE => [

        # Commands

            'help',
            'desc',
            'info',
            'perms',
            'writable',

            # 'create',
            # 'fork',
            # 'mirror',
            # 'readme',
            # 'sskm',
            # 'D',

        # What happens by itself after a change of the conf

            # ~/.ssh/authorized_keys is written from keydir
            'ssh-authkeys',

            # what 'config' lines of the conf say becomes git configuration
            'git-config',

            # git-daemon-export-ok is made and removed; not needed without git-daemon
            'daemon',

            # projects.list is written; not needed without gitweb
            'gitweb',

        # For users

            # a fetch does not make a wild repository
            # 'no-create-on-read',
            # nor does a push: only the 'create' command does, which must be on
            # 'no-auto-create',

            # repositories under their old names, from REPO_ALIASES
            # 'Alias',

            # a shell for some users: those of a file, or those named here
            # "Shell $ENV{HOME}/.gitolite.shell-users",
            # 'Shell alice bob',

            # permissions of new wild repositories, from 'option default.roles-1 = ...'
            # 'set-default-roles',

            # say more where something is refused
            # 'expand-deny-messages',

            # a message of the day
            # 'Motd',

        # For administrators

            # mirrors; HOSTNAME must be set
            # 'Mirroring',

            # several keys in one file of keydir
            # 'ssh-authkeys-split',

            # copies that leave out some branches
            # 'partial-copy',

            # copies of repositories that live elsewhere
            # 'upstream',

            # descriptions go to the file 'description', not to 'gitweb.description'
            # 'cgit',

            # hooks for some repositories, from 'option hook...'
            # 'repo-specific-hooks',

        # Load and times

            # a lower priority
            # 'renice 10',

            # processor times in the log
            # 'CpuTime',

        # More in the conf

            # a backslash at the end of a line joins it with the next
            # 'continuation-lines',

            # directories of keydir are groups
            # 'keysubdirs-as-groups',

            # macros of whole lines
            # 'macros',

        # Checks against what nobody should do

            # 'Kindergarten',
    ],

);

# ------------------------------------------------------------------------------
# Stays the last line: Perl wants a true value at the end.
1;
`;
