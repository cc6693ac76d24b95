# Hands one call of a gitolite site's program to the account's gate through its control socket, and starts a gate where
# none runs: the frames of src/api/frames.ts, the call of src/api/site-call.ts. Loads no module on the common way: every
# one costs as much as all of this. src/house/site-launcher.ts is the same for machines without Perl.
use strict;

my $FRAME_BYTES    = 65_536;
my $VARIABLE_BYTES = 131_072;
my $CALL_BYTES     = 2_097_152;
my $START_SECONDS  = 60;
my $EXIT_ANSWERED  = 75;
my $ANSWERED_MAX   = 8;

for ( [ \*STDIN, '<' ], [ \*STDOUT, '>' ], [ \*STDERR, '>' ] ) {
    open $_->[0], $_->[1], '/dev/null' if not -e $_->[0];
}

my ( $bin, $program ) = ( $0 =~ m(^(.*)/) ? $1 : '.', shift @ARGV );
$ENV{HOME} = $ENV{GITOLITE_HTTP_HOME} if $program ne 'gitolite' and $ENV{GITOLITE_HTTP_HOME};
$ENV{HOME} ||= ( getpwuid $> )[7] || '';
my $data = "$ENV{HOME}/.gitolite/gatehouse";
my $cwd  = readlink '/proc/self/cwd';
$cwd = $ENV{PWD} || '/' if not defined $cwd;
$cwd = $ENV{HOME} if not -d $cwd;
$bin = "$cwd/$bin" if $bin !~ m(^/);
# 'sshkeys-lint' does not wait for what nobody types.
if ( -t STDIN ) { $ENV{GATEHOUSE_STDIN} = 'terminal' } else { delete $ENV{GATEHOUSE_STDIN} }
my $call = call();
my $deadline = time + $START_SECONDS;
my $lock;
my $gate;
my $answered = 0;

# A gate or a reader that goes away shows where something is written.
$SIG{PIPE} = 'IGNORE';
$SIG{ALRM} = sub { fatal("the gate does not answer; see $data/gate.log") };
while (1) {
    alarm $START_SECONDS;
    my $socket = dial();
    converse($socket) if $socket;
    close $socket if $socket;
    start();
    fatal("no gate answers for $ENV{HOME}; see $data/gate.log") if time > $deadline;
    select undef, undef, undef, 0.01;
}

# Everything that the gate must know. What would not fit is left behind, and said.
sub call {
    my @variables;
    for my $name ( keys %ENV ) {
        if ( length $ENV{$name} > $VARIABLE_BYTES ) {
            print STDERR "WARNING: the variable $name is too large to be handed on\n";
        } else {
            push @variables, "$name=$ENV{$name}";
        }
    }
    my $text = join "\0", 1, $program, $$, $cwd, scalar @ARGV, @ARGV, @variables, '';
    fatal('too many arguments or variables') if length $text > $CALL_BYTES;
    my $frames = '';
    while ( length $text > $FRAME_BYTES ) {
        $frames .= pack 'a N/a', 'P', substr $text, 0, $FRAME_BYTES, '';
    }
    return $frames . pack 'a N/a', 'S', $text;
}

# The gate's socket; undefined where none listens.
sub dial {
    my $path = "$data/control.sock";
    if ( length $path > 103 ) {
        chdir $data or return undef;
        $path = 'control.sock';
    }
    my $address;
    if ( $^O eq 'linux' ) {
        $address = pack 'S a108', 1, $path;
    } else {
        require Socket;
        $address = Socket::pack_sockaddr_un($path);
    }
    socket my $socket, 1, 1, 0 or fatal("no socket: $!");
    return connect( $socket, $address ) ? $socket : undef;
}

# Returns where the gate did not take the call; else ends as the call does.
sub converse {
    my ($socket) = @_;
    my ( $credit, $accepted, $read ) = ( 0, 0, '' );
    put( $socket, $call ) or return;
    my $at = fileno $socket;
    while (1) {
        my $ready = '';
        vec( $ready, $at, 1 ) = 1;
        vec( $ready, 0,   1 ) = 1 if $credit > 0;
        next if select( $ready, undef, undef, undef ) < 0;
        # A gate that is gone is seen by the next read.
        $credit = feed( $socket, $credit ) if vec $ready, 0, 1;
        next if not vec $ready, $at, 1;
        my $size = sysread $socket, $read, $FRAME_BYTES + 5, length $read;
        next if not defined $size and again();
        if ( not $size ) {
            return if not $accepted;
            fatal('the gate went away before it was done');
        }
        while ( length $read >= 5 ) {
            my ( $type, $length ) = unpack 'a N', $read;
            last if length $read < 5 + $length;
            my $payload = substr $read, 5, $length;
            substr $read, 0, 5 + $length, '';
            if    ( $type eq 'O' ) { put( \*STDOUT, $payload ) or reader_gone() }
            elsif ( $type eq 'E' ) { put( \*STDERR, $payload ) }
            elsif ( $type eq 'W' ) { $credit += $payload }
            elsif ( $type eq 'X' ) { exit( $payload =~ /(\d+)/ ? $1 : 1 ) }
            elsif ( $type eq 'F' ) { return }
            elsif ( $type eq 'A' ) { alarm 0; $accepted = 1; $lock = undef }
            else                   { fatal('the gate and the launcher are of different versions: restart the gate') }
        }
    }
}

# Standard input as far as the credit goes; what is left of the credit, and none for ever after the end.
sub feed {
    my ( $socket, $credit ) = @_;
    my $size = sysread STDIN, my $bytes, $credit < $FRAME_BYTES ? $credit : $FRAME_BYTES;
    return $credit if not defined $size and again();
    put( $socket, pack 'a N/a', 'I', $size ? $bytes : '' );
    return $size ? $credit - $size : -1e15;
}

# Ends as a program whose reader is gone; the gate hears it by the end of the connection.
sub reader_gone {
    $SIG{PIPE} = 'DEFAULT';
    kill PIPE => $$;
    exit 1;
}

sub put {
    my ( $handle, $bytes ) = @_;
    my $done = 0;
    while ( $done < length $bytes ) {
        my $size = syswrite $handle, $bytes, length($bytes) - $done, $done;
        if ( defined $size ) {
            $done += $size;
        } elsif ( again() ) {
            vec( my $ready = '', fileno $handle, 1 ) = 1;
            select undef, $ready, undef, 1;
        } else {
            return 0;
        }
    }
    return 1;
}

# Whether a call of the system's is to be tried again.
sub again {
    return $! == 4 || $! == 11 if $^O eq 'linux';
    my $error = $! + 0;
    require Errno;
    return $error == Errno::EINTR() || $error == Errno::EAGAIN();
}

# One of all callers starts the gate, the others wait for its socket.
sub start {
    if ($gate) {
        return if waitpid( $gate, 1 ) == 0;
        undef $gate;
        # Another took its place, before it served anybody or since; one that answers, but never for this account, is no help.
        return if ( $? == 0 or $? >> 8 == $EXIT_ANSWERED ) and ++$answered < $ANSWERED_MAX;
        my $tail = tail();
        fatal("the gate for $ENV{HOME} did not start:\n$tail");
    }
    return if not take_lock();
    if ( dial() ) {
        $lock = undef;
        return;
    }
    log_for_gate();
    require POSIX;
    $gate = fork;
    fatal("cannot start a gate: $!") if not defined $gate;
    become_gate() if $gate == 0;
}

sub take_lock {
    -d $ENV{HOME} or fatal("the home directory '$ENV{HOME}' does not exist");
    for my $directory ( "$ENV{HOME}/.gitolite", $data ) {
        -d $directory or mkdir $directory, 0700 or -d $directory or fatal("cannot make $directory: $!");
    }
    return 1 if $lock and -e "$data/start.lock";
    open $lock, '>>', "$data/start.lock" or return 0;
    return 1 if flock $lock, 6;
    $lock = undef;
    return 0;
}

sub log_for_gate {
    my $log = "$data/gate.log";
    rename $log, "$log.old" if -e $log and -s _ > 4_194_304;
}

sub become_gate {
    alarm 0;
    my %kept = map { $_ => $ENV{$_} } grep { /^(?:HOME|PATH|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ)$/ } keys %ENV;
    # What is compiled once is kept where others cannot write: with the programs, else with the data.
    my $cache = -w "$bin/../node_modules" ? "$bin/../node_modules/.cache/gatehouse" : "$data/compile-cache";
    %ENV = ( %kept, GATEHOUSE_ON_DEMAND => 1, NODE_COMPILE_CACHE => $cache );
    $SIG{PIPE} = 'DEFAULT';
    POSIX::setsid();
    umask 0077;
    open STDIN,  '<',  '/dev/null';
    open STDOUT, '>>', "$data/gate.log";
    open STDERR, '>&', \*STDOUT;
    POSIX::close($_) for 3 .. 255;
    chdir '/';
    my @doors = map { ( "--$_", 'off' ) } qw(ssh http git);
    exec "$bin/gatehouse", 'serve', '--data', $data, '--gitolite', $ENV{HOME}, @doors, '--log-level', 'warn';
    POSIX::_exit(127);
}

sub tail {
    open my $log, '<', "$data/gate.log" or return '';
    my $size = -s $log;
    seek $log, $size > 2_000 ? $size - 2_000 : 0, 0;
    my @lines = <$log>;
    splice @lines, 0, @lines - 8 if @lines > 8;
    return join '', @lines;
}

sub fatal {
    print STDERR "FATAL: $_[0]\n";
    exit 25;
}
