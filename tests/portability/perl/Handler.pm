package Handler;
use strict;
use warnings;
use utf8;
use JSON::PP ();

sub handle {
    my ($req, $context) = @_;
    my ($path, $query, $headers) = @$req{qw(path query headers)};
    if ($path =~ m{^/inspect}) {
        my %seen = (method => $req->{method}, path => $path, query => $query);
        return { body => { %seen, two => $headers->{'x-two'} // '', cookie => $headers->{cookie} // '' } };
    }
    if ($path eq '/echo') {
        return { headers => { 'Content-Type' => $headers->{'content-type'} // 'none' }, body => \$req->{body} };
    }
    return { statusCode => $query->{code}, body => "status $query->{code}" } if $path eq '/status';
    if ($path eq '/answer') {
        my %answer = (headers => { $query->{name} // 'X-Value' => $query->{value} }, body => 'b');
        return exists $query->{status} ? { %answer, statusCode => $query->{status} } : \%answer;
    }
    return { statusCode => 302, headers => { Location => '/elsewhere' } } if $path eq '/redirect';
    return { headers => { 'Set-Cookie' => ['a=1; Path=/', 'b=2'] }, body => 'set' } if $path eq '/cookies';
    return { tax => 4.7, of => ['grüß', undef, JSON::PP::true] } if $path eq '/json';
    return 'grüß' if $path eq '/text';
    return { headers => { 'Content-Type' => 'text/plain; charset=utf-8' }, body => \&words } if $path eq '/stream';
    die "no subtotal\n" if $path eq '/error';
    if ($path eq '/slow') {
        select undef, undef, undef, 0.5;
        return 'slow';
    }
    return $ENV{PROBE} // 'none' if $path eq '/environment';
    return secret() if $path eq '/secret';
    return { statusCode => 404, body => 'no such path' };
}

sub secret {
    my $folder = $ENV{FAAS_SECRETS_DIR} // '/var/openfaas/secrets';
    open my $file, '<', "$folder/portability-key" or die "$!\n";
    local $/ = undef;
    return scalar <$file>;
}

sub words {
    my ($write) = @_;
    for my $word ("one\n", "two\n", "three\n") {
        $write->($word);
        select undef, undef, undef, 0.3;
    }
}

1;
