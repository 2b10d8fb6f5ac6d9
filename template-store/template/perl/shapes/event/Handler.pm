package Handler;
use strict;
use warnings;

# Answers a request. $event->{body} (bytes), {headers} (by lower-case name), {method}, {query}, {path}, $event->text and
# $event->json; $context->{function_name}, {hostname}.
sub handle {
    my ($event, $context) = @_;
    my $name = $event->{query}{name} // 'you';
    return { statusCode => 200, headers => {}, body => { hello => $name, you_sent => $event->text } };
}

1;
