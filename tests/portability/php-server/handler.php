<?php

// PHP's own web server, with workers, in the place of this process.
function main(): void
{
    putenv('PHP_CLI_SERVER_WORKERS=50');
    pcntl_exec(PHP_BINARY, ['-q', '-d', 'output_buffering=0', '-S', '127.0.0.1:' . getenv('PORT'), __DIR__ . '/router.php'], getenv());
}
