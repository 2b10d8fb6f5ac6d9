#!/usr/bin/env bash
# Puts the OpenID provider that sign-in is tested against into the test cache, and prints the folder to run it from.
# Versions are those of package-lock.json. Fails where npm can't fetch them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${FAAS_TESTBED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/faas-testbed}
to=$cache/oidc-$(sha256sum "$here/package-lock.json" | cut -c1-16)
if [ ! -d "$to/node_modules/oidc-provider" ]; then
    mkdir -p "$cache"
    new=$(mktemp -d "$cache/oidc-new.XXXXXX")
    cp "$here/package.json" "$here/package-lock.json" "$new/"
    # npm's words are for people; stdout is the folder.
    npm ci --prefix "$new" --ignore-scripts --no-audit --no-fund >&2
    # Whoever is first has it.
    mv -T "$new" "$to" 2>/dev/null || rm -rf "$new"
fi
cp "$here/server.mjs" "$to/server.mjs.$$"
mv "$to/server.mjs.$$" "$to/server.mjs"
echo "$to"
