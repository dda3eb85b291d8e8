"""Play schedules again, or many more: `python -m tests.kill --seed 4711`.

A schedule that fails is printed in its shortest form that still fails, with what broke.
"""

import argparse
import sys
import time
from collections import Counter

from tests.kill.replay import explain, failure_of
from tests.kill.schedule import generate
from tests.kill.world import play


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    words.add_argument("--seed", type=int, default=1, help="of the first schedule")
    words.add_argument("--schedules", type=int, default=1, help="how many, one seed after another")
    words.add_argument(
        "--show", action="store_true", help="print each schedule before it is played"
    )
    chosen = words.parse_args()
    seen: Counter[str] = Counter()
    started = time.process_time()
    for seed in range(chosen.seed, chosen.seed + chosen.schedules):
        schedule = generate(seed)
        if chosen.show:
            print(schedule)
        failure = failure_of(schedule)
        if failure is not None:
            print(explain(schedule, failure))
            return 1
        if chosen.schedules == 1:
            seen += play(schedule).seen
    spent = time.process_time() - started
    print(f"{chosen.schedules} schedules from seed {chosen.seed} hold, in {spent:.1f} s of work.")
    for what, count in sorted(seen.items()):
        print(f"  {what}: {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
