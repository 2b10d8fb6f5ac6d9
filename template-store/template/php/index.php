<?php
// The HTTP server around handler.php: php's shim between the invoker and the user's function. One process a connection;
// the invoker keeps as many connections as it has requests in flight.
declare(strict_types=1);

namespace Faas;

const TEXT = 'text/plain; charset=utf-8';
const BYTES = 'application/octet-stream';
const JSON = 'application/json';
const MAX_HEAD = 1024 * 1024;
const REASONS = [
    200 => 'OK', 201 => 'Created', 202 => 'Accepted', 204 => 'No Content', 301 => 'Moved Permanently', 302 => 'Found',
    303 => 'See Other', 304 => 'Not Modified', 307 => 'Temporary Redirect', 308 => 'Permanent Redirect',
    400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden', 404 => 'Not Found', 405 => 'Method Not Allowed',
    409 => 'Conflict', 422 => 'Unprocessable Entity', 429 => 'Too Many Requests', 431 => 'Request Header Fields Too Large',
    500 => 'Internal Server Error', 501 => 'Not Implemented', 502 => 'Bad Gateway', 503 => 'Service Unavailable',
    505 => 'HTTP Version Not Supported',
];

/** One HTTP request. Names of header fields are in lower case. */
final class Event
{
    public function __construct(
        public string $body = '',
        public array $headers = [],
        public string $method = 'POST',
        public array $query = [],
        public string $path = '/',
    ) {
    }

    /** The body as JSON. */
    public function json(): mixed
    {
        return json_decode($this->body, true, 512, JSON_THROW_ON_ERROR);
    }
}

/** What is the same for every request. */
final class Context
{
    public string $functionName;
    public string $hostname;

    public function __construct()
    {
        $this->functionName = getenv('OPENFAAS_NAME') ?: '';
        $this->hostname = gethostname() ?: '';
    }
}

/** A request that is no good HTTP: the code is the status to answer before the connection is closed. */
final class Refused extends \Exception
{
}

/** The caller has gone; there is nobody to tell. */
final class Gone extends \Exception
{
}

/** A connection, and what was read of it and not used yet. */
final class Connection
{
    private string $buffer = '';

    public function __construct(private $socket, private $running)
    {
    }

    public function serve(callable $call): void
    {
        try {
            while ($this->next() && $this->request($call)) {
            }
        } catch (Gone) {
        }
    }

    /** Waits for a request; false when there will be none. */
    private function next(): bool
    {
        while ($this->buffer === '') {
            $ready = [$this->socket, $this->running];
            $write = $except = null;
            if (@stream_select($ready, $write, $except, null) === false) {
                continue; // a signal
            }
            if (!in_array($this->socket, $ready, true)) {
                return false;
            }
            $this->fill();
        }
        return true;
    }

    private function isRunning(): bool
    {
        $ready = [$this->running];
        $write = $except = null;
        return @stream_select($ready, $write, $except, 0) === 0;
    }

    private function fill(): void
    {
        $read = @fread($this->socket, 256 * 1024);
        if ($read === false || $read === '') {
            throw new Gone();
        }
        $this->buffer .= $read;
    }

    private function line(int $most = MAX_HEAD): string
    {
        while (($end = strpos($this->buffer, "\n")) === false) {
            if (strlen($this->buffer) > $most) {
                throw new Refused('', 431);
            }
            $this->fill();
        }
        $line = substr($this->buffer, 0, $end);
        $this->buffer = substr($this->buffer, $end + 1);
        return str_ends_with($line, "\r") ? substr($line, 0, -1) : $line;
    }

    private function exactly(int $size): string
    {
        while (strlen($this->buffer) < $size) {
            $this->fill();
        }
        $bytes = substr($this->buffer, 0, $size);
        $this->buffer = substr($this->buffer, $size);
        return $bytes;
    }

    /** Answers one request; whether the connection can take another. */
    private function request(callable $call): bool
    {
        try {
            [$event, $version] = $this->parse();
        } catch (Refused $refused) {
            $this->send($refused->getCode(), [], '', false, 'GET', 'HTTP/1.1');
            return false;
        }
        $tokens = strtolower($event->headers['connection'] ?? '');
        $keep = !str_contains($tokens, 'close') && ($version === 'HTTP/1.1' || str_contains($tokens, 'keep-alive'));
        try {
            [$status, $fields, $body] = $call($event);
        } catch (Gone $gone) {
            throw $gone;
        } catch (\Throwable $error) {
            fwrite(STDERR, "$error\n");
            $kind = (new \ReflectionClass($error))->getShortName();
            [$status, $fields, $body] = [500, [['Content-Type', TEXT]], "$kind: {$error->getMessage()}\n"];
        }
        return $this->send($status, $fields, $body, $keep && $this->isRunning(), $event->method, $version);
    }

    /** The next request, and its version. */
    private function parse(): array
    {
        $line = $this->line();
        if (!preg_match('~^(\S+) (\S+) (HTTP/\S+)$~D', $line, $match)) {
            throw new Refused('', 400);
        }
        [, $method, $target, $version] = $match;
        if ($version !== 'HTTP/1.1' && $version !== 'HTTP/1.0') {
            throw new Refused('', 505);
        }
        $headers = [];
        $size = strlen($line);
        while (($line = $this->line()) !== '') {
            $size += strlen($line);
            if ($size > MAX_HEAD) {
                throw new Refused('', 431);
            }
            if (!preg_match('/^([^\s:]+):[ \t]*(.*?)[ \t]*$/D', $line, $match)) {
                throw new Refused('', 400);
            }
            $name = strtolower($match[1]);
            $glue = $name === 'cookie' ? '; ' : ', ';
            $headers[$name] = isset($headers[$name]) ? $headers[$name] . $glue . $match[2] : $match[2];
        }
        [$path, $query] = explode('?', $target, 2) + [1 => ''];
        $fields = [];
        foreach (array_filter(explode('&', $query), 'strlen') as $pair) {
            [$name, $value] = explode('=', $pair, 2) + [1 => ''];
            $fields[urldecode($name)] = urldecode($value);
        }
        return [new Event($this->body($headers), $headers, $method, $fields, rawurldecode($path)), $version];
    }

    private function body(array $headers): string
    {
        $coding = $headers['transfer-encoding'] ?? null;
        $length = $headers['content-length'] ?? null;
        if ($coding === null && $length === null) {
            return '';
        }
        if ($coding !== null && ($length !== null || strtolower($coding) !== 'chunked')) {
            throw new Refused('', $length !== null ? 400 : 501);
        }
        if ($length !== null && !ctype_digit($length)) {
            throw new Refused('', 400);
        }
        if (strtolower($headers['expect'] ?? '') === '100-continue') {
            $this->write("HTTP/1.1 100 Continue\r\n\r\n");
        }
        if ($length !== null) {
            return $this->exactly((int) $length);
        }
        $body = '';
        while (true) {
            $size = trim(explode(';', $this->line(), 2)[0]);
            if (!ctype_xdigit($size) || strlen($size) > 15) {
                throw new Refused('', 400);
            }
            $size = (int) hexdec($size);
            if ($size === 0) {
                break;
            }
            $body .= $this->exactly($size);
            if ($this->line(2) !== '') {
                throw new Refused('', 400);
            }
        }
        while ($this->line() !== '') {
        }
        return $body;
    }

    private function write(string $bytes): void
    {
        while ($bytes !== '') {
            $written = @fwrite($this->socket, $bytes);
            if ($written === false || $written === 0) {
                throw new Gone();
            }
            $bytes = substr($bytes, $written);
        }
    }

    /** Sends an answer; whether the connection can take another request. */
    private function send(int $status, array $fields, mixed $body, bool $keep, string $method, string $version): bool
    {
        $streamed = !is_string($body);
        $bare = $status === 204 || $status === 304 || $status < 200;
        $chunked = $streamed && !$bare && $version === 'HTTP/1.1';
        $keep = $keep && ($chunked || !$streamed);
        $top = "HTTP/1.1 $status " . (REASONS[$status] ?? 'Unknown') . "\r\n";
        foreach ($fields as [$name, $value]) {
            if (!in_array(strtolower($name), ['content-length', 'transfer-encoding', 'connection'], true)) {
                $top .= "$name: $value\r\n"; // the others are the server's
            }
        }
        if ($chunked) {
            $top .= "Transfer-Encoding: chunked\r\n";
        } elseif (!$streamed && !$bare) {
            $top .= 'Content-Length: ' . strlen($body) . "\r\n";
        }
        $top .= $keep ? "\r\n" : "Connection: close\r\n\r\n";
        $silent = $bare || $method === 'HEAD';
        $this->write($streamed || $silent ? $top : $top . $body);
        if (!$streamed || $silent) {
            return $keep;
        }
        foreach ($body as $chunk) {
            $chunk = (string) $chunk;
            if ($chunk !== '') {
                $this->write($chunked ? sprintf("%x\r\n%s\r\n", strlen($chunk), $chunk) : $chunk);
            }
        }
        if ($chunked) {
            $this->write("0\r\n\r\n");
        }
        return $keep;
    }
}

/** A body as a string or what yields strings, and its content type. */
function encode(mixed $body): array
{
    return match (true) {
        $body === null => ['', TEXT],
        is_string($body) => [$body, is_utf8($body) ? TEXT : BYTES],
        $body instanceof \Generator => [$body, TEXT],
        default => [json_encode($body, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE), JSON],
    };
}

function is_utf8(string $text): bool
{
    return preg_match('//u', $text) === 1;
}

/** The status of an answer. Refuses what is none, or only says that the answer is to come. */
function final_status(mixed $status): int
{
    $number = filter_var($status, FILTER_VALIDATE_INT, ['options' => ['min_range' => 200, 'max_range' => 999]]);
    if ($number === false) {
        $said = json_encode($status);
        throw new \UnexpectedValueException("the status $said is none that an answer can have: 200 to 999 are");
    }
    return $number;
}

/** Name and value of a header field. Refuses what would end the head, or be another field. */
function field(string $name, string $value): array
{
    if (!preg_match('/^[!#$%&\'*+.^_`|~0-9A-Za-z-]+$/D', $name)) {
        throw new \UnexpectedValueException("\"$name\" can't be the name of a header field");
    }
    if (preg_match('/[\x00-\x08\x0a-\x1f\x7f]/', $value)) {
        throw new \UnexpectedValueException("the header field $name holds a line end or another control character");
    }
    return [$name, $value];
}

/** Status, header fields and body of what a handler returned. */
function reply(mixed $result): array
{
    $status = 200;
    $fields = [];
    if (is_array($result) && (array_key_exists('statusCode', $result) || array_key_exists('body', $result))) {
        $status = final_status($result['statusCode'] ?? 200);
        foreach ($result['headers'] ?? [] as $name => $values) {
            foreach (array_filter((array) $values, fn ($value) => $value !== null) as $value) {
                $fields[] = field((string) $name, (string) $value);
            }
        }
        $result = $result['body'] ?? null;
    }
    [$body, $type] = encode($result);
    if (!in_array('content-type', array_map(fn ($field) => strtolower($field[0]), $fields), true)) {
        $fields[] = ['Content-Type', $type];
    }
    return [$status, $fields, $body];
}

/** A function from Event to status, header fields and body; null when the handler serves by itself. */
function load(): ?callable
{
    if (is_file(__DIR__ . '/function/vendor/autoload.php')) {
        require __DIR__ . '/function/vendor/autoload.php';
    }
    $returned = require __DIR__ . '/function/handler.php';
    $handle = is_callable($returned) ? $returned : (function_exists('handle') ? 'handle' : null);
    if ($handle === null) {
        if (function_exists('main')) {
            return null;
        }
        fwrite(STDERR, "function/handler.php defines neither handle(\$req), handle(\$event, \$context) nor main()\n");
        exit(1);
    }
    if ((new \ReflectionFunction(\Closure::fromCallable($handle)))->getNumberOfRequiredParameters() >= 2) {
        $context = new Context();
        return fn (Event $event) => reply($handle($event, $context));
    }
    // What is printed comes before what is returned.
    return function (Event $event) use ($handle) {
        ob_start();
        try {
            $result = $handle($event->body);
        } finally {
            $printed = ob_get_clean();
        }
        if ($printed === '') {
            [$body, $type] = encode($result);
            return [200, [['Content-Type', $type]], $body];
        }
        if ($result instanceof \Generator) {
            $result = (function () use ($printed, $result) {
                yield $printed;
                yield from $result;
            })();
            return [200, [['Content-Type', TEXT]], $result];
        }
        return [200, [['Content-Type', TEXT]], $printed . encode($result)[0]];
    };
}

function serve(callable $call, string $port): void
{
    $context = stream_context_create(['socket' => ['backlog' => 1024, 'tcp_nodelay' => true]]);
    $flags = STREAM_SERVER_BIND | STREAM_SERVER_LISTEN;
    $listener = @stream_socket_server("tcp://127.0.0.1:$port", $code, $message, $flags, $context);
    if ($listener === false) {
        fwrite(STDERR, "can't listen on port $port: $message\n");
        exit(1);
    }
    // The first end is open as long as this process takes requests; the others see its end.
    [$open, $running] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
    $stopping = false;
    $stop = function () use (&$stopping) {
        $stopping = true;
    };
    pcntl_async_signals(true);
    pcntl_signal(SIGTERM, $stop, false);
    pcntl_signal(SIGINT, $stop, false);
    while (!$stopping) {
        while (pcntl_waitpid(-1, $status, WNOHANG) > 0) {
        }
        $ready = [$listener];
        $write = $except = null;
        if (!@stream_select($ready, $write, $except, 1)) {
            continue;
        }
        $socket = @stream_socket_accept($listener, 0);
        if ($socket === false) {
            continue;
        }
        $pid = pcntl_fork();
        if ($pid === 0) {
            fclose($listener);
            fclose($open);
            // Ended by the pipe, once its request is answered.
            pcntl_signal(SIGTERM, fn () => null);
            pcntl_signal(SIGINT, fn () => null);
            stream_set_read_buffer($socket, 0);
            stream_set_timeout($socket, PHP_INT_MAX >> 32);
            (new Connection($socket, $running))->serve($call);
            exit(0);
        }
        if ($pid < 0) {
            fwrite(STDERR, 'can\'t fork: ' . pcntl_strerror(pcntl_get_last_error()) . "\n");
        }
        fclose($socket);
    }
    fclose($listener);
    fclose($open);
    while (pcntl_waitpid(-1, $status) > 0) {
    }
    exit(0);
}

set_error_handler(function (int $level, string $message, string $file, int $line): bool {
    if (error_reporting() & $level) {
        fwrite(STDERR, "$message in $file:$line\n");
    }
    return true;
});
ini_set('display_errors', 'stderr');
ini_set('memory_limit', '-1');
$port = getenv('PORT') ?: '5000';
putenv("PORT=$port");
$call = load();
if ($call === null) {
    \main();
} else {
    serve($call, $port);
}
