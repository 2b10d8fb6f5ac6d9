package Handler;
use strict;
use warnings;
use IO::Socket::INET;

# What a request is answered with.
sub answer {
    my ($body) = @_;
    return $body;
}

# Your own web server: it listens on 127.0.0.1, port $PORT, until it is ended. This one reads one request a connection.
sub main {
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 128, ReuseAddr => 1)
        or die "can't listen on port $ENV{PORT}: $@\n";
    while (my $client = $listener->accept) {
        my ($length, $body) = (0, '');
        while (defined(my $line = <$client>)) {
            $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
            last if $line =~ /^\r?\n\z/;
        }
        read $client, $body, $length if $length;
        my $answer = answer($body);
        print {$client} "HTTP/1.1 200 OK\r\nContent-Length: ", length $answer, "\r\nConnection: close\r\n\r\n", $answer;
        close $client;
    }
    return;
}

1;
