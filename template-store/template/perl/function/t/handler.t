use strict;
use warnings;
use Test::More tests => 1;
use Faas;
use Handler;

is(Handler::handle(Faas::Request->new(body => 'hello'), {}), 'hello', 'it answers what it is sent');
