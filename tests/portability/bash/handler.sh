#!/usr/bin/env bash

handle() {
  case $Http_Path in
    /echo) cat ;;
    /text) printf 'grüß' ;;
    /error) echo 'no subtotal' >&2; return 1 ;;
    /slow) sleep 0.5; printf slow ;;
    /environment) printf '%s' "${PROBE:-none}" ;;
    /secret) cat "${FAAS_SECRETS_DIR:-/var/openfaas/secrets}/portability-key" ;;
    *) printf 'no such path' ;;
  esac
}
