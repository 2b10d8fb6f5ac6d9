#!/usr/bin/env bash
# Runs handler.sh for one call: bash's shim between the invoker and the user's function. No process is started here that
# the handler does not start.
here=.
[[ ${BASH_SOURCE[0]} == */* ]] && here=${BASH_SOURCE[0]%/*}
[[ $here == /* ]] || here=$PWD/$here
export FUNCTION_DIR=$here/function
# A script that reads stdin answers while it is sourced; one that defines `handle` does so when that is called.
# shellcheck source=/dev/null
source "$FUNCTION_DIR/handler.sh" || exit
if declare -F handle >/dev/null; then
  handle
fi
