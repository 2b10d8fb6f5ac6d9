<?php

function handle(string $req)
{
    switch ($req) {
        case '/json':
            return ['tax' => 4.7, 'of' => ['grüß', null, true]];
        case '/text':
            echo 'grüß';
            return null;
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
    return $req;
}
