use strict;
use warnings;
use Test::More tests => 1;
use Faas;
use Handler;

my $answer = Handler::handle(Faas::Request->new(body => 'hello', query => { name => 'Ada' }), {});
is_deeply($answer->{body}, { hello => 'Ada', you_sent => 'hello' }, 'it greets by name');
