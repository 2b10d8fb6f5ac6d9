#!/usr/bin/env bash
# Tests, builds, pushes and deploys the functions of a stack: for any CI system, and for a prompt.
#   OPENFAAS_URL, OPENFAAS_PASSWORD      the gateway and its login
#   REGISTRY, REGISTRY_USER, REGISTRY_PASSWORD  where images go; leave them out where the engine is logged in already
# Nothing here needs a terminal. A second run builds and deploys only what changed: keep ~/.cache/faas between runs.
set -euo pipefail

stack=${1:-stack.yml}
# Images by the commit: the same commit is the same image.
tag=${TAG_MODE:-sha}

faas validate -f "$stack"
faas test -f "$stack"

if [ -n "${REGISTRY:-}" ]; then
    printf '%s' "$REGISTRY_PASSWORD" | faas registry-login --server "$REGISTRY" -u "$REGISTRY_USER" --password-stdin
fi
faas build -f "$stack" --tag "$tag"
faas push -f "$stack" --tag "$tag"

printf '%s' "$OPENFAAS_PASSWORD" | faas login -g "$OPENFAAS_URL" --password-stdin
faas deploy -f "$stack" -g "$OPENFAAS_URL" --tag "$tag"
