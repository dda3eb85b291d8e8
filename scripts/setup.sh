#!/bin/sh
# Make .venv with exactly the locked packages. Usage: sh scripts/setup.sh run|dev
set -eu
cd "$(dirname "$0")/.."
kind=$1
lock=requirements/$kind.txt
stamp=.venv/.installed-$kind
want=$(cat requirements/bootstrap.txt "$lock" pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)
# Whatever serves the tests serves a run as well.
for have in "$stamp" .venv/.installed-dev; do
    if [ -f "$have" ] && [ "$have" = "$stamp" ] && [ "$(cat "$have")" = "$want" ]; then exit 0; fi
done
if [ "$kind" = run ] && [ -f .venv/.installed-dev ] &&
    [ "$(cat .venv/.installed-dev)" = "$(cat requirements/bootstrap.txt requirements/dev.txt pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)" ]; then
    exit 0
fi

python=""
for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Tallystick needs Python 3.11 or newer, and found none. On Debian: apt-get install python3 python3-venv" >&2
    exit 1
fi

if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "Making the virtual environment in .venv ..."
    rm -rf .venv
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        # Debian keeps the part of venv that brings pip in a package of its own.
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            echo "Installing $package, which Debian keeps apart from Python ..."
            apt-get update -qq >/dev/null && DEBCONF_NOWARNINGS=yes DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" ca-certificates >/dev/null
            rm -rf .venv
            "$python" -m venv .venv
        else
            rm -rf .venv
            echo "Python here cannot make virtual environments. On Debian: sudo apt-get install $package" >&2
            exit 1
        fi
    fi
fi

echo "Installing the locked packages ($lock) ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --require-hashes -r "$lock"
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --no-deps --no-build-isolation -e .
echo "$want" >"$stamp"
