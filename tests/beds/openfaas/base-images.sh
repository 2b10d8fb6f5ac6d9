#!/usr/bin/env bash
# Makes base images for function builds out of Debian packages and pushes them to the test bed's registry.
#
#   base-images.sh [NAME...]     NAME: debian python node ruby php perl java go rust   (default: debian python)
#
# `debian` is a minimal root file system from debootstrap; every other image is one layer of packages above it.
# Each carries this machine's bundle of certificate authorities, so that pip, npm and the like work in a build.
# An image that is in the registry already is left alone; FORCE=1 makes it anew.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/env.sh"
[ "$(id -u)" = 0 ] || die "run as root: debootstrap needs it"
http_ok "http://$registry/v2/" || die "no registry on $registry; run up.sh first"

suite=bookworm
certs=/etc/ssl/certs/ca-certificates.crt

tag_of() {
    case $1 in
        debian) echo debian:$suite ;;
        python) echo python:3.11 ;;
        node) echo node:18 ;;
        ruby) echo ruby:3.1 ;;
        php) echo php:8.2 ;;
        perl) echo perl:5.36 ;;
        java) echo java:17 ;;
        go) echo go:1.19 ;;
        rust) echo rust:web ;;
        *) die "no base image is called '$1'; see the head of base-images.sh" ;;
    esac
}

packages_of() {
    case $1 in
        python) echo python3 python3-pip python3-venv ;;
        node) echo nodejs npm ;;
        ruby) echo ruby ruby-bundler ;;
        php) echo php-cli composer ;;
        perl) echo perl ;;
        java) echo openjdk-17-jdk-headless maven ;;
        go) echo golang-go ;;
        # Newer than Debian's `rustc`, which is too old for the template.
        rust) echo rustc-web cargo-web ;;
    esac
}

in_registry() {
    http_ok -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "http://$registry/v2/base/${1%%:*}/manifests/${1#*:}"
}

make_debian() {
    packages debootstrap ca-certificates
    local root=$bed/rootfs
    rm -rf "$root"
    say "debootstrap $suite"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" >"$log/debootstrap.log" 2>&1 ||
        { tail -n 20 "$log/debootstrap.log" >&2; die "debootstrap failed"; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*
    cp "$certs" "$root$certs"
    tar -C "$root" --numeric-owner -c . | "$docker" import \
        -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        -c "ENV SSL_CERT_FILE=$certs PIP_CERT=$certs NODE_EXTRA_CA_CERTS=$certs REQUESTS_CA_BUNDLE=$certs" \
        -c 'CMD ["/bin/sh"]' - "$1" >/dev/null
    rm -rf "$root"
}

make_layer() {
    local dir=$bed/base-context-$1
    rm -rf "$dir" && mkdir -p "$dir"
    cp "$certs" "$dir/host-ca.crt"
    cat >"$dir/Dockerfile" <<DOCKER
FROM $registry/base/$(tag_of debian)
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(packages_of "$1") >/dev/null && rm -rf /var/lib/apt/lists/*
COPY host-ca.crt $certs
ENV PIP_BREAK_SYSTEM_PACKAGES=1 PIP_DISABLE_PIP_VERSION_CHECK=1
DOCKER
    say "building $2"
    DOCKER_BUILDKIT=0 "$docker" build -q -t "$2" "$dir" >"$log/base-$1.log" 2>&1 || { tail -n 20 "$log/base-$1.log" >&2; die "building $2 failed"; }
    rm -rf "$dir"
}

make() {
    local tag image
    tag=$(tag_of "$1")
    image=$registry/base/$tag
    if [ -z "${FORCE:-}" ] && in_registry "$tag"; then
        say "$image is there"
    else
        if [ "$1" = debian ]; then make_debian "$image"; else make_layer "$1" "$image"; fi
        "$docker" push -q "$image" >/dev/null
    fi
    echo "$image"
}

[ $# -gt 0 ] || set -- debian python
for name in "$@"; do tag_of "$name" >/dev/null; done
# debian first, for all others stand on it; then the others side by side.
others=()
for name in "$@"; do
    if [ "$name" = debian ]; then make debian; else others+=("$name"); fi
done
if [ ${#others[@]} -gt 0 ]; then
    in_registry "$(tag_of debian)" || make debian >/dev/null
fi
jobs=()
for name in "${others[@]}"; do
    make "$name" &
    jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job"; done
