"""`python -m sim.stripe`: the card company as a process of its own."""

import argparse
import socket
from pathlib import Path

import uvicorn

from sim.stripe.app import StripeApp
from sim.stripe.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sim.stripe", description=__doc__)
    parser.add_argument("--file", type=Path, default=Path("stripe.sqlite"), help="Its memory.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=12111, help="0 lets the system choose.")
    parser.add_argument("--port-file", type=Path, help="Where to write the port.")
    parser.add_argument("--key", default="sk_test_tallystick", help="The API key that it takes.")
    chosen = parser.parse_args()
    listener = socket.create_server((chosen.host, chosen.port))
    if chosen.port_file is not None:
        chosen.port_file.write_text(str(listener.getsockname()[1]), encoding="ascii")
    app = StripeApp(Store(chosen.file), api_key=chosen.key)
    config = uvicorn.Config(app, log_level="warning", lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
