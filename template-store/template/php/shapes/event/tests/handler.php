<?php

// `faas test` runs this file; with PHPUnit in composer.json, let `scripts.test` run that instead.
require __DIR__ . '/../handler.php';

$event = (object) ['query' => ['name' => 'Ada'], 'body' => 'hello', 'headers' => [], 'method' => 'POST', 'path' => '/'];
if (handle($event, null)['body'] !== ['hello' => 'Ada', 'you_sent' => 'hello']) {
    fwrite(STDERR, "handle does not greet by name\n");
    exit(1);
}
echo "ok: it greets by name\n";
