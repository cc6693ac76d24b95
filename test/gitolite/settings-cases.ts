/** Settings files as sites have them: each is read here and by the real gitolite, which must see the same. */

export const ENABLING = (...names: readonly string[]): string =>
  `%RC = ( UMASK => 0027, ENABLE => [ ${names.map((name) => `'${name}'`).join(', ')} ] );\n1;\n`;

/** What it shows -> the file. */
export const CASES: Readonly<Record<string, string>> = {
  'numbers in every base': `%RC = (A => 0077, B => 0x1F, C => 0b101, D => 1_000, E => 1.50, F => 0.1, G => -3, H => 1e3, I => 0,);\n1;\n`,
  'texts in every quoting': String.raw`
    %RC = (
      A => 'it\'s \n \\ $HOME @x',
      B => "tab\tnl\\n \"q\" \$x \@y \x41\x{42}\101",
      C => q(a (b) c), D => q{it's}, E => qq{home: $ENV{HOME}}, F => q/x\/y/, G => qq<a<b>c>,
      'H' => "", "I" => '', J => "$ENV{HOME}/x:$ENV{'HOME'}",
      K => "$rc{GL_ADMIN_BASE}/local", L => "\${HOME} costs 5\$", M => "ends in \$", N => "@ alone, a@ b",
    );
    1;
  `,
  'lists and hashes in each other': `
    %RC = (
      LIST => [ 'a', "b", qw(c d
        e), [ 'nested', { deep => [ 1, 2 ] } ], ],
      HASH => { a => 1, 'b c' => { d => 'e', }, -f => 'g', 7 => 8 },
      EMPTY_LIST => [], EMPTY_HASH => {},
      qw(K1 v1 K2 v2),
      (PAREN => 'p', (Q => 'q')),
    );
    1;
  `,
  'comments, documentation and an end': `
# a comment with ' and " and {
%RC = ( # behind
    A => 'x # not a comment', # but this (
    # B => 'y',
    C => 1, D # before the arrow
      => 2
);

=pod

%RC = (A => 'wrong');

=cut

1;
__END__
$rc{A} = 'wrong';
`,
  'assignments to both hashes': `
    $RC{A} = 'a'; $rc{B} = 'b'; $RC{H}{x} = 1; $RC{H}->{y}{z} = [ 1, 2 ]; $RC{L}[0] = 'first'; $RC{L}[1] = 'second';
    $RC{H}{y}{z}->[0] = 'changed'; $rc{LOG_TEMPLATE} = "$ENV{HOME}/log-%y"; $RC{'quo ted'} = 1;
    1;
  `,
  'a whole hash after its parts': `$RC{A} = 1; %RC = ( B => 2 ); $RC{C} = 3; %RC = ( %RC, D => 4 );\n1;\n`,
  'patterns, and settings behind them': String.raw`
    $UNSAFE_PATT = qr([${'`'}~#\$\&()|;<>]);
    $RC{BEHIND} = 1; my $quote = qr/'"/i; $RC{TEXT} = "one $quote";
    1;
  `,
  'push, unshift and delete': `
    %RC = ( L => [ 'b' ], H => { x => 1, y => 2 } );
    push @{ $RC{L} }, 'c', 'd'; push(@{$RC{L}}, qw(e f)); unshift @{$RC{L}}, 'a'; push @{ $RC{NEW}{list} }, 'made';
    delete $RC{H}{x}; my @more = ('m', 'n'); push @{$RC{L}}, @more;
    1;
  `,
  undef: `
    %RC = ( A => 'a', L => [ 'b' ], H => { x => 1, y => { z => 2 } }, K => 'kept', P => 'x' );
    undef $RC{A}; $RC{A} //= 'taken'; undef @{ $RC{L} }; push @{ $RC{L} }, 'c'; undef(%{ $RC{H}{y} }); undef ($RC{P}); $RC{P} ||= 'again';
    my $own = 'set'; undef $own; $RC{O} = $own || 'unset';
    1;
  `,
  'variables of its own': `
    no strict; use utf8;
    my $base = "/srv/git"; my @names = ('a', 'b'); my %hash = (k => 'v'); our $other = $base . '/other';
    %Gitolite::Rc::RC = ( A => $base, B => "$base/x", C => "\${base}x", D => [ @names ], E => { %hash }, F => "@names", G => $hash{k},
      H => "$hash{k}-$names[1]", I => $names[0] );
    1;
  `
    .replace(', J => "@{[ ]}"', '')
    .replace('use strict; use warnings;', 'no strict;'),
  'joined and chosen values': `
    %RC = ( A => 'a' . 'b' . 1 . "c", B => $ENV{NOT_THERE} || 'default', C => $ENV{HOME} // 'none', D => '' || 0 || 'last',
      E => 1 ? 'yes' : 'no', F => 'x' && 'y', G => ($ENV{NOT_THERE} ? 'set' : 'unset') . '!' );
    $RC{A} .= 'more'; $RC{B} ||= 'not taken'; $RC{Z} ||= 'taken'; $RC{Y} //= 'taken too';
    1;
  `,
  'here-documents': `
%RC = (
  A => <<'END', B => 'after',
one $x
  two
END
  C => <<"END" . 'joined',
home $ENV{HOME}
END
  D => <<~END,
    less
      indented
    END
);
1;
`,
  'a text over several lines': `%RC = ( A => "one\n  two\n", B => 'x' );\n1;\n`,
  'the way of version 3.0: lists by hand': `
    %RC = (
      UMASK => 0077, GIT_CONFIG_KEYS => '.*', LOG_EXTRA => 1, ROLES => { READERS => 1, WRITERS => 1, MANAGERS => 1, OFF => 0 },
      SITE_INFO => 'x', COMMANDS => { 'help' => 1, 'desc' => 1, fork => 0, info => 1, mirror => 'ua' },
      SYNTACTIC_SUGAR => [ 'continuation-lines' ], INPUT => [ 'Shell::input' ], ACCESS_1 => [ 'mine', ], POST_GIT => [ ],
      POST_COMPILE => [ 'post-compile/ssh-authkeys', 'post-compile/update-git-configs', ],
    );
    1;
  `,
  'every feature': ENABLING(
    ...'continuation-lines keysubdirs-as-groups macros refex-expr Kindergarten CpuTime Shell Alias Motd Mirroring'.split(
      ' ',
    ),
    ...'expand-deny-messages RepoUmask partial-copy upstream no-create-on-read no-auto-create ssh-authkeys-split'.split(
      ' ',
    ),
    ...'ssh-authkeys set-default-roles git-config create-with-reference gitweb cgit daemon repo-specific-hooks'.split(
      ' ',
    ),
    'renice 10',
    'help',
    'sudo ua',
    'own-command',
  ),
  'features with arguments': ENABLING('Shell alice bob', '  Motd   x ', 'renice 5', 'mirror  a b  ', 'desc ', 'zero 0'),
  'a site’s own features': `
    %RC = (
      NON_CORE => "
        # mine
        first   POST_COMPILE   .          before  ssh-authkeys   # behind
        Mine    PRE_GIT        ::
        last    POST_COMPILE   post-compile/last
        own     COMMAND        own
        lost    POST_COMPILE   .          before  nothing
      ",
      ENABLE => [ 'ssh-authkeys', 'first', 'Mine x y', 'last', 'own', 'daemon', 'lost', 'help' ],
    );
    1;
  `,
  'features added to a list by hand': `
    %RC = ( POST_COMPILE => [ 'mine' ], ACCESS_1 => [ 'my-access' ], COMMANDS => { old => 1 }, ENABLE => [ 'ssh-authkeys', 'help', 'expand-deny-messages' ] );
    push @{ $RC{ENABLE} }, 'D'; $rc{COMMANDS}{fork} = 1; $rc{PRE_GIT} = [ 'early' ];
    1;
  `,
  'no features at all': `%RC = ( ENABLE => [] );\n1;\n`,
  'other places': `%RC = ( GL_REPO_BASE => '/srv/repositories', GL_ADMIN_BASE => "/srv/admin", LOG_TEMPLATE => '/var/log/gl-%d' );\n1;\n`,
  aliases: `
    %RC = ( REPO_ALIASES => { 'foo' => 'foo/code', 'bar' => '301/bar/code', PREFIX_MAPS => { 'var/lib/git/' => '', }, WARNING => "use '%new'" },
      SAFE_CONFIG => { LOCALHOST => '127.0.0.1', PATH => 'a b' }, HOSTNAME => "foo", );
    1;
  `,
  'no file to speak of': `1;\n`,
};

/** Some statements are not followed: those between them count. */
export const HALF_FOLLOWED = String.raw`
    my $x = 'it'; my $y = 6; my @parts = split /'/, $x; $RC{A} = 1;
    $x =~ s/'//; $RC{B} = 2; $x =~ s{'}{"}g; $RC{C} = 3; $x =~ tr/'"/ab/; $RC{D} = 4;
    if ($x =~ /it's/) { $x = 1; }
    $RC{E} = 'a/b'; my $z = $y / 2; $RC{F} = '/'; my %h = (s => 1, y => 2); $z = $h{s} / $h{y}; $RC{G} = 7;
    sub never { return 1 if /'/; s#'#x#; }
    $RC{H} = 8; my $text = lc(<<END); $RC{I} = 9;
it's "
END
    $RC{J} = 10; $x = (1) // time; $RC{K} = 11;
    if (-s "$ENV{HOME}/it's") { $x = 2; }
    $RC{L} = 12; $z = -s $x; $RC{M} = 13; my $last = $#parts / 2; $RC{N} = 'a#b';
    1;
  `;
