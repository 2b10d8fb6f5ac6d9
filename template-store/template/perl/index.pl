#!/usr/bin/env perl
# The HTTP server around Handler.pm: perl's shim between the invoker and the user's function. One process a connection;
# the invoker keeps as many connections as it has requests in flight.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/.deps/lib/perl5", "$FindBin::Bin/function";
use Errno qw(EINTR);
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Sys::Hostname ();
use Faas;

use constant { TEXT => 'text/plain; charset=utf-8', BYTES => 'application/octet-stream', JSON => 'application/json' };
use constant MAX_HEAD => 1024 * 1024;
my %REASON = (
    100 => 'Continue', 200 => 'OK', 201 => 'Created', 202 => 'Accepted', 204 => 'No Content', 301 => 'Moved Permanently',
    302 => 'Found', 303 => 'See Other', 304 => 'Not Modified', 307 => 'Temporary Redirect', 308 => 'Permanent Redirect',
    400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden', 404 => 'Not Found', 405 => 'Method Not Allowed',
    409 => 'Conflict', 422 => 'Unprocessable Entity', 429 => 'Too Many Requests', 431 => 'Request Header Fields Too Large',
    500 => 'Internal Server Error', 501 => 'Not Implemented', 502 => 'Bad Gateway', 503 => 'Service Unavailable',
    505 => 'HTTP Version Not Supported',
);
my $json = JSON::PP->new->utf8->canonical->allow_nonref->convert_blessed->allow_blessed;
my %context = (function_name => $ENV{OPENFAAS_NAME} // '', hostname => Sys::Hostname::hostname());

STDOUT->autoflush(1);
STDERR->autoflush(1);
$ENV{PORT} ||= 5000;
if (!eval { require Handler; 1 }) {
    my $error = $@;
    print STDERR $error;
    my ($module) = $error =~ /^Can't locate (\S+)\.pm in \@INC/;
    die "Handler.pm is not there\n" if ($module // '') eq 'Handler';
    die "the module `" . $module =~ s{/}{::}gr . "` is not installed: add it to cpanfile\n" if defined $module;
    exit 1;
}
my $handle = Handler->can('handle');
if (!$handle) {
    my $main = Handler->can('main') or die "function/Handler.pm defines neither handle nor main\n";
    $main->();
    exit 0;
}
serve($ENV{PORT});

sub serve {
    my ($port) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1024, ReuseAddr => 1)
        or die "can't listen on port $port: $@\n";
    # Its writing end is open as long as this process takes requests; the others see its end.
    pipe(my $running, my $open) or die "can't make a pipe: $!\n";
    my $stopping = 0;
    $SIG{TERM} = $SIG{INT} = sub { $stopping = 1 };
    $SIG{PIPE} = 'IGNORE';
    my $ready = IO::Select->new($listener);
    until ($stopping) {
        1 while waitpid(-1, POSIX::WNOHANG()) > 0;
        next unless $ready->can_read(1);
        my $connection = $listener->accept or next;
        my $pid = fork;
        if (!defined $pid) {
            print STDERR "can't fork: $!\n";
        } elsif ($pid == 0) {
            close $listener;
            close $open;
            # Ended by the pipe, once its request is answered.
            $SIG{TERM} = $SIG{INT} = sub { };
            setsockopt($connection, IPPROTO_TCP, TCP_NODELAY, 1);
            eval { connection($connection, $running); 1 } or print STDERR $@;
            exit 0;
        }
        close $connection;
    }
    close $listener;
    close $open;
    1 while waitpid(-1, 0) > 0 || $! == EINTR;
    exit 0;
}

# Whether the process that listens still takes requests.
sub is_running { return !IO::Select->new($_[0])->can_read(0) }

sub connection {
    my ($socket, $running) = @_;
    my $in = { socket => $socket, buffer => '' };
    my $either = IO::Select->new($socket, $running);
    while (1) {
        if ($in->{buffer} eq '') {
            my @ready = $either->can_read;
            next if !@ready;    # a signal
            return if !grep { $_ == $socket } @ready;
            fill($in) or return;
        }
        request($in, $running) or return;
    }
    return;
}

# Reads more; whether there was any.
sub fill {
    my ($in) = @_;
    while (1) {
        my $n = sysread $in->{socket}, $in->{buffer}, 256 * 1024, length $in->{buffer};
        return $n if defined $n;
        return 0 if $! != EINTR;
    }
    return 0;
}

sub line {
    my ($in, $most) = @_;
    my $end;
    while (($end = index $in->{buffer}, "\n") < 0) {
        die { status => 431 } if length $in->{buffer} > $most;
        fill($in) or die { gone => 1 };
    }
    my $line = substr $in->{buffer}, 0, $end + 1, '';
    $line =~ s/\r?\n\z//;
    return $line;
}

sub exactly {
    my ($in, $size) = @_;
    while (length $in->{buffer} < $size) { fill($in) or die { gone => 1 } }
    return substr $in->{buffer}, 0, $size, '';
}

# Answers one request; whether the connection can take another.
sub request {
    my ($in, $running) = @_;
    my $request = eval { parse($in) };
    if (!$request) {
        my $why = $@;
        die $why unless ref $why eq 'HASH';
        answer($in->{socket}, $why->{status}, [], '', keep => 0) if $why->{status};
        return 0;
    }
    my $tokens = lc($request->{headers}{connection} // '');
    my $keep = $tokens !~ /close/ && ($request->{version} eq 'HTTP/1.1' || $tokens =~ /keep-alive/);
    my ($status, $fields, $body) = eval { reply($handle->($request, \%context)) };
    if (!defined $status) {
        my $error = $@;
        print STDERR $error =~ /\n\z/ ? $error : "$error\n";
        my $said = ref $error ? "$error" : $error =~ s/ at \S+ line \d+\.?\n?\z//r;
        utf8::encode($said) if utf8::is_utf8($said);
        chomp $said;
        ($status, $fields, $body) = (500, [['Content-Type', TEXT]], "$said\n");
    }
    $keep &&= is_running($running);
    return answer($in->{socket}, $status, $fields, $body, keep => $keep, %$request{qw(method version)});
}

sub parse {
    my ($in) = @_;
    my $line = line($in, MAX_HEAD);
    my ($method, $target, $version) = $line =~ m{^(\S+) (\S+) (HTTP/\S+)$} or die { status => 400 };
    die { status => 505 } if $version !~ m{^HTTP/1\.[01]$};
    my ($size, %headers) = (length $line);
    while ((my $field = line($in, MAX_HEAD)) ne '') {
        $size += length $field;
        die { status => 431 } if $size > MAX_HEAD;
        my ($name, $value) = $field =~ /^([^\s:]+):\s*(.*?)\s*$/ or die { status => 400 };
        $name = lc $name;
        $headers{$name} = exists $headers{$name} ? join($name eq 'cookie' ? '; ' : ', ', $headers{$name}, $value) : $value;
    }
    my ($path, $query) = split /\?/, $target, 2;
    my %query = map { my ($k, $v) = split /=/, $_, 2; (unescape($k, 1), unescape($v // '', 1)) } grep { length } split /&/, $query // '';
    return bless {
        method => $method, version => $version, path => unescape($path), query => \%query, headers => \%headers,
        body => body($in, \%headers),
    }, 'Faas::Request';
}

sub unescape {
    my ($text, $form) = @_;
    $text =~ tr/+/ / if $form;
    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    utf8::decode($text);
    return $text;
}

sub body {
    my ($in, $headers) = @_;
    my ($coding, $length) = @$headers{qw(transfer-encoding content-length)};
    return '' if !defined $coding && !defined $length;
    die { status => defined $length ? 400 : 501 } if defined $coding && (defined $length || lc $coding ne 'chunked');
    die { status => 400 } if defined $length && $length !~ /^\d+\z/;
    syswrite $in->{socket}, "HTTP/1.1 100 Continue\r\n\r\n" if lc($headers->{expect} // '') eq '100-continue';
    return exactly($in, $length) if defined $length;
    my $body = '';
    while (1) {
        my ($size) = line($in, MAX_HEAD) =~ /^([0-9A-Fa-f]+)\s*(?:;.*)?$/ or die { status => 400 };
        last if !hex $size;
        $body .= exactly($in, hex $size);
        line($in, 2) eq '' or die { status => 400 };
    }
    1 while line($in, MAX_HEAD) ne '';    # trailers
    return $body;
}

# Status, header fields and body of what the handler returned.
sub reply {
    my ($result) = @_;
    my ($status, @fields) = (200);
    if (ref $result eq 'HASH' && (exists $result->{statusCode} || exists $result->{body})) {
        $status = final($result->{statusCode} // 200);
        my $given = $result->{headers} // {};
        for my $name (sort keys %$given) {
            push @fields, map { [$name, $_] } grep { defined } ref $given->{$name} eq 'ARRAY' ? @{ $given->{$name} } : $given->{$name};
        }
        $result = $result->{body};
    }
    my $type = BYTES;
    if (!defined $result) {
        $result = '';
        $type = TEXT;
    } elsif (ref $result eq 'CODE' || ref $result eq 'SCALAR') {
        $result = $$result if ref $result eq 'SCALAR';    # bytes
    } elsif (ref $result eq 'Faas::Request') {
        ($result, $type) = ($result->{body}, TEXT);
    } elsif (ref $result) {
        ($result, $type) = ($json->encode($result), JSON);
    } else {
        utf8::encode($result) if utf8::is_utf8($result);
        $type = TEXT;
    }
    push @fields, ['Content-Type', $type] if !grep { lc $_->[0] eq 'content-type' } @fields;
    check(@$_) for @fields;
    return ($status, \@fields, $result);
}

# The status of an answer. Refuses what is none, or only says that the answer is to come.
sub final {
    my ($status) = @_;
    return $status + 0 if $status =~ /^[2-9][0-9][0-9]\z/;
    die "the status $status is none that an answer can have: 200 to 999 are\n";
}

# Refuses what can't be a header field: it would end the head, or be another field.
sub check {
    my ($name, $value) = @_;
    die "\"$name\" can't be the name of a header field\n" if $name !~ /^[!#\$%&'*+.^_`|~0-9A-Za-z-]+\z/;
    die "the header field $name holds a line end or another control character\n" if $value =~ /[\x00-\x08\x0a-\x1f\x7f]/;
    return;
}

sub write_all {
    my ($socket, $bytes) = @_;
    my $at = 0;
    while ($at < length $bytes) {
        my $n = syswrite $socket, $bytes, length($bytes) - $at, $at;
        next if !defined $n && $! == EINTR;
        exit 0 if !defined $n;    # the caller has gone; there is nobody to tell
        $at += $n;
    }
    return;
}

# Sends an answer; whether the connection can take another request.
sub answer {
    my ($socket, $status, $fields, $body, %how) = @_;
    my $streamed = ref $body eq 'CODE';
    my $bare = $status == 204 || $status == 304 || $status < 200;
    my $chunked = $streamed && !$bare && ($how{version} // 'HTTP/1.1') eq 'HTTP/1.1';
    my $keep = $how{keep} && ($chunked || !$streamed);
    my $top = "HTTP/1.1 $status " . ($REASON{$status} // 'Unknown') . "\r\n";
    for (@$fields) {
        my ($name, $value) = @$_;
        next if $name =~ /^(?:content-length|transfer-encoding|connection)$/i;    # these are the server's
        my $field = "$name: $value\r\n";
        utf8::encode($field) if utf8::is_utf8($field);
        $top .= $field;
    }
    $top .= "Transfer-Encoding: chunked\r\n" if $chunked;
    $top .= 'Content-Length: ' . length($body) . "\r\n" if !$streamed && !$bare;
    $top .= "Connection: close\r\n" if !$keep;
    my $silent = $bare || ($how{method} // '') eq 'HEAD';
    write_all($socket, $streamed || $silent ? "$top\r\n" : "$top\r\n$body");
    return $keep if !$streamed || $silent;
    $body->(sub {
        my ($chunk) = @_;
        utf8::encode($chunk) if utf8::is_utf8($chunk);
        return if $chunk eq '';
        write_all($socket, $chunked ? sprintf("%x\r\n%s\r\n", length $chunk, $chunk) : $chunk);
    });
    write_all($socket, "0\r\n\r\n") if $chunked;
    return $keep;
}
