<?php

// Answers a request. $event: body, headers (by lower-case name), method, query, path, json(). $context: functionName,
// hostname.
function handle($event, $context)
{
    $name = $event->query['name'] ?? 'you';
    return ['statusCode' => 200, 'body' => ['hello' => $name, 'you_sent' => $event->body]];
}
