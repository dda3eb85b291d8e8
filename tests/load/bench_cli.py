"""The command line: how long a person waits for `tallystick --help`."""

import json
import statistics
import subprocess
import sys
import time

_RUNS = 9
_HELP = "from client_sdk.command import main; main()"


async def run(only: str | None) -> None:
    """Print the median start of the help text beside that of Python with click alone."""
    name = "cli.help"
    if not name.startswith(only or ""):
        return
    took, bare = _median_ms(_HELP, "--help"), _median_ms("import click")
    figure = {"name": name, "value": round(took), "unit": "ms", "ratio": round(took / bare, 2)}
    print(json.dumps(figure | {"to": f"python and click alone: {bare:.0f} ms"}), flush=True)  # noqa: T201


def _median_ms(code: str, *arguments: str) -> float:
    times = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)
