#!/usr/bin/env bash
# Twenty functions onto the same endpoint (moto of tests/beds/lambda): `faas deploy` against a loop of the AWS CLI's calls,
# each as few as it takes; and a folder of 50 MB as an archive against `zip -6`.
#   benches/lambda.sh [FAAS]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
faas=$(realpath "${1:-$here/target/quick/faas}")
bed=$here/tests/beds/lambda
cache=${FAAS_TESTBED_CACHE:-$HOME/.cache/faas-testbed}/lambda
"$bed/testbed.sh" up >&2
"$bed/testbed.sh" cli >&2
aws=$cache/cli/bin/aws
export AWS_ENDPOINT_URL=http://127.0.0.1:5555 AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_EC2_METADATA_DISABLED=true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
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
for round in 1 2 3; do
    curl -fs -X POST "$AWS_ENDPOINT_URL/moto-api/reset" >/dev/null
    a=$(now)
    "$faas" deploy >/dev/null 2>&1
    b=$(now)
    "$faas" deploy >/dev/null 2>&1
    c=$(now)
    curl -fs -X POST "$AWS_ENDPOINT_URL/moto-api/reset" >/dev/null
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
for n in $(seq 25); do base64 -w 76 /dev/urandom | head -c 1048576 >"big/data/text-$n.txt"; done
printf 'def handle(req):\n    return req\n' >big/handler.py
printf 'provider: {name: lambda, lambda: {region: us-east-1}}\nname: big\nfunctions:\n  big: {lang: python3, handler: ./big}\n' >big.yml
for round in 1 2 3; do
    a=$(now); "$faas" build -f big.yml --no-cache >/dev/null 2>&1; b=$(now)
    rm -f big.zip; c=$(now); (cd big && python3 -m py_compile handler.py && zip -q -6 -r ../big.zip .); d=$(now)
    printf 'round %s: 50 MB, faas build %s s, zip -6 %s s\n' "$round" "$(took "$a" "$b")" "$(took "$c" "$d")"
done
