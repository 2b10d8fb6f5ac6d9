#!/usr/bin/env bash
# Ends what run.sh brought up, and nothing else. `stop.sh --clean` also deletes functions, registry content and state.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/openfaas/down.sh" "$@"
