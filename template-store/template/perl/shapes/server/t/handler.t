use strict;
use warnings;
use Test::More tests => 1;
use Handler;

is(Handler::answer('hello'), 'hello', 'it answers what it is sent');
