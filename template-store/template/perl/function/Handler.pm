package Handler;
use strict;
use warnings;

# Answers a request. $req in a string is its body; $req->{method}, {path}, {query} and {headers} are the rest of it.
# What is returned (text, a reference to JSON data, or {statusCode, headers, body}) is the answer.
sub handle {
    my ($req, $context) = @_;
    return "$req";
}

1;
