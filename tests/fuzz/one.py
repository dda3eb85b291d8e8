"""One target under atheris; started by `python -m tests.fuzz`."""

import sys

import atheris

with atheris.instrument_imports(include=["offline_protocol", "client_sdk", "server"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
