"""Coverage-guided fuzzing: `python -m tests.fuzz [--seconds N] [TARGET ...]`.

Each target runs in a process of its own. What made a target reach something new is added to its
corpus, which the tests replay; a crash is written beside it, named `crash-...`.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
ENTRY_BYTES_MAX = 4_096


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="All when left out.")
    parser.add_argument("--seconds", type=int, default=20, help="For each target.")
    parser.add_argument("--keep", action="store_true", help="Add what is new to the corpus.")
    chosen = parser.parse_args()
    unknown = set(chosen.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no target {min(unknown)!r}; there are {', '.join(TARGETS)}")
    failed = []
    names = chosen.targets or list(TARGETS)
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] {name}: {chosen.seconds} s", flush=True)  # noqa: T201 - a command
        if _run(name, chosen.seconds, keep=chosen.keep) != 0:
            failed.append(name)
    print(f"{len(names) - len(failed)} passed, {len(failed)} failed")  # noqa: T201 - as above
    for name in failed:
        print(f"  {name}: see {CORPUS / name}/crash-*")  # noqa: T201 - as above
    return len(failed)


def _run(name: str, seconds: int, *, keep: bool) -> int:
    own = CORPUS / name
    own.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for number, (target, data) in enumerate(seeds()):
            if target == name:
                (Path(scratch) / f"seed-{number}").write_bytes(data)
        folders = [str(own), scratch] if keep else [scratch, str(own)]
        command = [
            *(sys.executable, "-m", "tests.fuzz.one", name, *folders),
            f"-max_total_time={seconds}",
            f"-max_len={ENTRY_BYTES_MAX}",
            f"-artifact_prefix={own}/",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
