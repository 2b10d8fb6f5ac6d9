# What Handler.pm is called with: a request, which in a string is its body.
package Faas;
package Faas::Request;
use strict;
use warnings;
use JSON::PP ();
use overload '""' => sub { $_[0]->text }, 'bool' => sub { 1 }, 'fallback' => 1;

# For tests: Faas::Request->new(body => '…', method => 'GET').
sub new {
    my ($class, %given) = @_;
    return bless { method => 'POST', path => '/', query => {}, headers => {}, body => '', %given }, $class;
}

# The body as text; bytes that are no UTF-8 stay bytes.
sub text {
    my ($self) = @_;
    my $text = $self->{body};
    utf8::decode($text);
    return $text;
}

# The body as JSON.
sub json { return JSON::PP->new->utf8->allow_nonref->decode($_[0]{body}) }

1;
