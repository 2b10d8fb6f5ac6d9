<?php

// `faas test` runs this file; with PHPUnit in composer.json, let `scripts.test` run that instead.
require __DIR__ . '/../handler.php';

if (handle('hello') !== 'hello') {
    fwrite(STDERR, "handle('hello') does not answer what it is sent\n");
    exit(1);
}
echo "ok: it answers what it is sent\n";
