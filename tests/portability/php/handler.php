<?php

function handle($event, $context)
{
    $query = $event->query;
    if (str_starts_with($event->path, '/inspect')) {
        return ['body' => [
            'method' => $event->method, 'path' => $event->path, 'query' => (object) $query,
            'two' => $event->headers['x-two'] ?? '', 'cookie' => $event->headers['cookie'] ?? '',
        ]];
    }
    switch ($event->path) {
        case '/echo':
            return ['headers' => ['Content-Type' => $event->headers['content-type'] ?? 'none'], 'body' => $event->body];
        case '/status':
            return ['statusCode' => (int) $query['code'], 'body' => "status {$query['code']}"];
        case '/answer':
            $answer = ['headers' => [($query['name'] ?? 'X-Value') => $query['value'] ?? null], 'body' => 'b'];
            return isset($query['status']) ? $answer + ['statusCode' => (int) $query['status']] : $answer;
        case '/redirect':
            return ['statusCode' => 302, 'headers' => ['Location' => '/elsewhere']];
        case '/cookies':
            return ['headers' => ['Set-Cookie' => ['a=1; Path=/', 'b=2']], 'body' => 'set'];
        case '/json':
            return ['tax' => 4.7, 'of' => ['grüß', null, true]];
        case '/text':
            return 'grüß';
        case '/stream':
            return ['body' => words()];
        case '/error':
            throw new RangeException('no subtotal');
        case '/slow':
            usleep(500000);
            return 'slow';
        case '/environment':
            return getenv('PROBE') ?: 'none';
        case '/secret':
            return file_get_contents((getenv('FAAS_SECRETS_DIR') ?: '/var/openfaas/secrets') . '/portability-key');
    }
    return ['statusCode' => 404, 'body' => 'no such path'];
}

function words()
{
    foreach (["one\n", "two\n", "three\n"] as $word) {
        yield $word;
        usleep(300000);
    }
}
