#!/bin/sh
# Make the lock files anew: every package with its hashes, no address of any registry.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh run
compile() {
    .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-header --no-emit-index-url --no-emit-find-links "$@"
}
compile pyproject.toml --extra demo --extra postgres --extra broker --group build -o requirements/run.txt
compile pyproject.toml --extra demo --extra postgres --extra broker --extra lan --extra ble --extra nfc --extra pkcs11 --extra webcam --group dev -o requirements/dev.txt
printf 'uv\n' | compile - --no-annotate -o requirements/bootstrap.txt
if grep -n '://' requirements/*.txt; then
    echo "A lock file holds an address." >&2
    exit 1
fi
