<?php

function answer(int $status, string $body, string $type = 'text/plain; charset=utf-8'): void
{
    http_response_code($status);
    header("Content-Type: $type");
    echo $body;
}

$path = rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
if (str_starts_with($path, '/inspect')) {
    $seen = ['method' => $_SERVER['REQUEST_METHOD'], 'path' => $path, 'query' => (object) $_GET];
    $seen += ['two' => $_SERVER['HTTP_X_TWO'] ?? '', 'cookie' => $_SERVER['HTTP_COOKIE'] ?? ''];
    answer(200, json_encode($seen), 'application/json');
    return;
}
switch ($path) {
    case '/echo':
        answer(200, file_get_contents('php://input'), $_SERVER['CONTENT_TYPE'] ?? 'none');
        break;
    case '/status':
        answer((int) $_GET['code'], $_GET['code'] === '204' ? '' : "status {$_GET['code']}");
        break;
    case '/redirect':
        header('Location: /elsewhere', true, 302);
        break;
    case '/cookies':
        header('Set-Cookie: a=1; Path=/');
        header('Set-Cookie: b=2', false);
        answer(200, 'set');
        break;
    case '/json':
        answer(200, json_encode(['tax' => 4.7, 'of' => ['grüß', null, true]]), 'application/json');
        break;
    case '/text':
        answer(200, 'grüß');
        break;
    case '/stream':
        header('Content-Type: text/plain; charset=utf-8');
        foreach (["one\n", "two\n", "three\n"] as $word) {
            echo $word;
            flush();
            usleep(300000);
        }
        break;
    case '/error':
        answer(500, 'no subtotal');
        break;
    case '/slow':
        usleep(500000);
        answer(200, 'slow');
        break;
    case '/environment':
        answer(200, getenv('PROBE') ?: 'none');
        break;
    case '/secret':
        answer(200, file_get_contents((getenv('FAAS_SECRETS_DIR') ?: '/var/openfaas/secrets') . '/portability-key'));
        break;
    default:
        answer(404, 'no such path');
}
