<?php

// `faas test` runs this file; with PHPUnit in composer.json, let `scripts.test` run that instead.
require __DIR__ . '/../answer.php';

if (answer('hello') !== 'hello') {
    fwrite(STDERR, "it does not answer what it is sent\n");
    exit(1);
}
echo "ok: it answers what it is sent\n";
