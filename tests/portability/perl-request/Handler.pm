package Handler;
use strict;
use warnings;
use utf8;
use JSON::PP ();

sub handle {
    my ($req) = @_;
    return { tax => 4.7, of => ['grüß', undef, JSON::PP::true] } if $req eq '/json';
    return 'grüß' if $req eq '/text';
    die "no subtotal\n" if $req eq '/error';
    if ($req eq '/slow') {
        select undef, undef, undef, 0.5;
        return 'slow';
    }
    return $ENV{PROBE} // 'none' if $req eq '/environment';
    if ($req eq '/secret') {
        open my $file, '<', ($ENV{FAAS_SECRETS_DIR} // '/var/openfaas/secrets') . '/portability-key' or die "$!\n";
        return scalar <$file>;
    }
    return "$req";
}

1;
