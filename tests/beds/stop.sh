#!/usr/bin/env bash
# Ends what run.sh brought up, and nothing else. `stop.sh --clean` also deletes functions, registry content and state.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
"$here/buildkit/down.sh" "$@"
exec "$here/openfaas/down.sh" "$@"
