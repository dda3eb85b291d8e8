"""`make bench`: JSON lines, each figure with its ratio to a limit measured in the same run."""

import argparse
import asyncio

from tests.load import (
    bench_ble,
    bench_cli,
    bench_gossip,
    bench_http,
    bench_ledger,
    bench_ledger_growth,
    bench_offline,
    bench_qr,
    bench_transports,
)


async def main(only: str | None) -> None:
    await bench_cli.run(only)
    await bench_offline.run(only)
    await bench_ledger.run(only)
    await bench_http.run(only)
    await bench_ledger_growth.run(only)
    await bench_qr.run(only)
    await bench_ble.run(only)
    await bench_transports.run(only)
    await bench_gossip.run(only)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="PREFIX", help="run only figures whose name begins so")
    asyncio.run(main(parser.parse_args().only))
