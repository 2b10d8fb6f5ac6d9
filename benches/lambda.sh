#!/usr/bin/env bash
# Twenty functions onto the same endpoint (a moto of its own, of tests/beds/lambda): `faas deploy` against a loop of the AWS
# CLI's calls, each as few as it takes; a folder of 50 MB as an archive against `zip -6`; and calls under AWS's emulator.
#   benches/lambda.sh [FAAS]      FAAS: target/release/faas; ADAPTER=… names the Lambda Web Adapter to compare with
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
faas=$(realpath "${1:-$here/target/release/faas}")
bed=$here/tests/beds/lambda
cache=${FAAS_TESTBED_CACHE:-$HOME/.cache/faas-testbed}/lambda
"$bed/testbed.sh" emulator >&2
"$bed/testbed.sh" cli >&2
aws=$cache/cli/bin/aws
port=${PORT:-5577}
MOTO_IAM_LOAD_MANAGED_POLICIES=true "$cache/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >/dev/null 2>&1 &
moto=$!
export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_EC2_METADATA_DISABLED=true
work=$(mktemp -d)
trap 'kill "$moto"; rm -rf "$work"' EXIT
for _ in $(seq 100); do curl -s -o /dev/null "$AWS_ENDPOINT_URL/moto-api/" && break; sleep 0.2; done
export FAAS_HOME=$work/home
cd "$work"
now() { date +%s.%N; }
took() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", b - a}'; }

{
    printf 'provider: {name: lambda, lambda: {region: us-east-1}}\nname: bench\nfunctions:\n'
    for n in $(seq 20); do printf '  bench-%s: {lang: python3, handler: ./tax}\n' "$n"; done
} >stack.yml
mkdir tax
printf 'def handle(req):\n    return req\n' >tax/handler.py
"$faas" build >/dev/null 2>&1
"$faas" generate >template.yaml 2>/dev/null # leaves the archives in build/
# moto reads the managed policies when IAM is asked first: before any clock runs.
"$aws" iam list-roles >/dev/null
for round in 1 2 3; do
    curl -fs -X POST "$AWS_ENDPOINT_URL/moto-api/reset" >/dev/null
    "$aws" iam list-roles >/dev/null
    a=$(now)
    "$faas" deploy >/dev/null 2>&1
    b=$(now)
    "$faas" deploy >/dev/null 2>&1
    c=$(now)
    curl -fs -X POST "$AWS_ENDPOINT_URL/moto-api/reset" >/dev/null
    "$aws" iam list-roles >/dev/null
    d=$(now)
    role=$("$aws" iam create-role --role-name bench --assume-role-policy-document '{"Version":"2012-10-17","Statement":[]}' --query Role.Arn --output text)
    "$aws" iam attach-role-policy --role-name bench --policy-arn arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole
    for n in $(seq 20); do
        "$aws" lambda create-function --function-name "cli-$n" --runtime python3.13 --handler bootstrap --role "$role" \
            --zip-file "fileb://build/bench-$n.zip" --publish >/dev/null
        "$aws" lambda wait function-active-v2 --function-name "cli-$n"
        "$aws" lambda create-alias --function-name "cli-$n" --name live --function-version 1 >/dev/null
    done
    e=$(now)
    f=$(took "$a" "$b"); g=$(took "$d" "$e")
    printf 'round %s: faas %s s, again %s s; AWS CLI %s s, %s times\n' "$round" "$f" "$(took "$b" "$c")" "$g" "$(awk -v f="$f" -v g="$g" 'BEGIN {printf "%.1f", g / f}')"
done

# Half of it can be packed, half can't.
mkdir -p big/data
head -c 26214400 /dev/urandom >big/data/noise.bin
for n in $(seq 25); do head -c 776217 /dev/urandom | base64 -w 76 >"big/data/text-$n.txt"; done
printf 'def handle(req):\n    return req\n' >big/handler.py
printf 'provider: {name: lambda, lambda: {region: us-east-1}}\nname: big\nfunctions:\n  big: {lang: python3, handler: ./big}\n' >big.yml
for round in 1 2 3; do
    a=$(now); "$faas" build -f big.yml --no-cache >/dev/null 2>&1; b=$(now)
    rm -f big.zip; c=$(now); (cd big && python3 -m py_compile handler.py && zip -q -6 -r ../big.zip .); d=$(now)
    printf 'round %s: 50 MB, faas build %s s, zip -6 %s s\n' "$round" "$(took "$a" "$b")" "$(took "$c" "$d")"
done

# A call of the same handler under the runtime interface emulator: AWS's own Python client, the invoker, and the Lambda Web
# Adapter before the same server where there is one. First call: a new process until its answer; then the median of 200.
"$bed/testbed.sh" ric >&2
python3 - "$cache" "$work" "${ADAPTER:-}" <<'X'
import http.client, os, statistics, subprocess, sys, time, zipfile
cache, work, adapter = sys.argv[1:]
os.environ.update(PYTHONDONTWRITEBYTECODE="1")
event = b'{"version":"2.0","rawPath":"/","rawQueryString":"","headers":{},"requestContext":{"http":{"method":"POST"}},"body":"x","isBase64Encoded":false}'
task = f"{work}/task"
with zipfile.ZipFile(f"{work}/build/bench-1.zip") as z:
    for i in z.infolist(): os.chmod(z.extract(i, task), i.external_attr >> 16)
plain = f"{work}/plain"; os.makedirs(plain)
open(f"{plain}/app.py", "w").write("def handler(event, context):\n    return {'statusCode': 200, 'body': event['body']}\n")
ways = {"awslambdaric, handler(event, context)": ([sys.executable, "-m", "awslambdaric", "app.handler"], plain, {"PYTHONPATH": f"{cache}/ric"}), "faas-watchdog, handle(req)": ([f"{task}/bootstrap"], task, {})}
if adapter: ways["Lambda Web Adapter, the same server"] = (["/bin/sh", "-c", f"setpriv --pdeathsig KILL python3 index.py & exec {adapter}"], task, {"AWS_LWA_READINESS_CHECK_PROTOCOL": "tcp"})
def once(way, n):
    command, cwd, env = ways[way]; port = 9300 + once.n * 2; once.n += 1
    rie = subprocess.Popen([f"{cache}/rie", "--log-level", "error", "--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", f"127.0.0.1:{port + 1}", *command], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env={"PATH": os.environ["PATH"], "HOME": "/tmp", "LAMBDA_TASK_ROOT": cwd, "AWS_LAMBDA_FUNCTION_TIMEOUT": "20", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_REGION": "us-east-1", **({"PORT": str(port + 2000), "AWS_LWA_PORT": str(port + 2000)} if adapter and adapter in command[-1] else {}), **env})
    def call():
        c = http.client.HTTPConnection("127.0.0.1", port); c.request("POST", "/2015-03-31/functions/function/invocations", event); r = c.getresponse().read(); c.close()
        assert b'"body"' in r or b'"x"' in r, r
    try:
        while True:
            try: http.client.HTTPConnection("127.0.0.1", port).connect(); break
            except OSError: time.sleep(0.005)
        a = time.perf_counter(); call(); first = time.perf_counter() - a; all = []
        for _ in range(n): a = time.perf_counter(); call(); all.append(time.perf_counter() - a)
    finally: os.killpg(rie.pid, 9); rie.wait()
    return first * 1000, statistics.median(all) * 1000
once.n = 0
seen = {way: [] for way in ways}
for _ in range(5):
    for way in ways: seen[way].append(once(way, 200 if _ == 0 else 40))
for way, told in seen.items(): print(f"{way}: first call {min(f for f, _ in told):.1f} ms, then {min(m for _, m in told):.2f} ms")
X

# What the invoker adds to a start: the template's server alone, and behind the invoker with a Runtime API of our own; from the
# start of the process to the first answer, and the processor time of the invoker and the shell that starts it.
python3 - "$work/task" <<'X'
import http.client, os, resource, socket, statistics, subprocess, sys, time
task, rounds = sys.argv[1], 25
event = b'{"version":"2.0","rawPath":"/","rawQueryString":"","headers":{},"requestContext":{"http":{"method":"POST"}},"body":"x","isBase64Encoded":false}'
def start(command, **env):
    env = {"PATH": os.environ["PATH"], "HOME": "/tmp", "LAMBDA_TASK_ROOT": task, **env}
    return time.perf_counter(), subprocess.Popen(command, cwd=task, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
def free():
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); return s.getsockname()[1]
def alone():
    port = free(); a, p = start(["python3", "index.py"], PORT=str(port))
    try:
        while True:
            try: c = http.client.HTTPConnection("127.0.0.1", port); c.connect(); break
            except OSError: time.sleep(0.001)
        c.request("POST", "/", "x"); c.getresponse().read(); return (time.perf_counter() - a) * 1000
    finally: p.terminate(); p.wait()
def invoked():
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
    a, p = start([f"{task}/bootstrap"], AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{s.getsockname()[1]}", PORT=str(free()))
    try:
        c, _ = s.accept(); told = c.recv(4096); assert b"/next" in told, told
        c.sendall(b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: i\r\nContent-Length: %d\r\n\r\n" % len(event) + event); told = b""
        while b"statusCode" not in told: told += c.recv(65536)
        return (time.perf_counter() - a) * 1000
    finally: p.terminate(); p.wait(); s.close()
def cpu(): r = resource.getrusage(resource.RUSAGE_CHILDREN); return (r.ru_utime + r.ru_stime) * 1000
own, ours, spent = [], [], []
for _ in range(rounds): own.append(alone()); before = cpu(); ours.append(invoked()); spent.append(cpu() - before)
print(f"start to first answer: the server alone {min(own):.1f} ms, behind the invoker {min(ours):.1f} ms, which takes {min(spent):.1f} ms of processor time (median {statistics.median(spent):.1f})")
X
