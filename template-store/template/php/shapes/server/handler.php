<?php

// Your own web server: it listens on 127.0.0.1, port $PORT, until it is ended. This is PHP's own, with workers, in the
// place of this process; it runs router.php for each request.
function main(): void
{
    putenv('PHP_CLI_SERVER_WORKERS=8');
    pcntl_exec(PHP_BINARY, ['-q', '-d', 'output_buffering=0', '-S', '127.0.0.1:' . getenv('PORT'), __DIR__ . '/router.php'], getenv());
}
