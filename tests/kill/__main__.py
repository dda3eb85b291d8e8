"""Play schedules again, or many more: `python -m tests.kill --seed 4711`."""

import sys
import time
from collections import Counter

import click

from tests.kill.replay import explain, failure_of
from tests.kill.schedule import generate
from tests.kill.world import play


@click.command()
@click.option("--seed", default=1, show_default=True, help="Seed of the first schedule.")
@click.option("--schedules", default=1, show_default=True, help="How many, seed after seed.")
@click.option("--show", is_flag=True, help="Print each schedule before it is played.")
def main(*, seed: int, schedules: int, show: bool) -> None:
    """Play schedules of crashes and broken messages.

    One that fails is printed in its shortest form that still fails, with what broke.
    """
    seen: Counter[str] = Counter()
    started = time.process_time()
    for number in range(seed, seed + schedules):
        schedule = generate(number)
        if show:
            click.echo(str(schedule))
        failure = failure_of(schedule)
        if failure is not None:
            click.echo(explain(schedule, failure))
            sys.exit(1)
        if schedules == 1:
            seen += play(schedule).seen
    spent = time.process_time() - started
    click.echo(f"{schedules} schedules from seed {seed} hold, in {spent:.1f} s of work.")
    for what, count in sorted(seen.items()):
        click.echo(f"  {what}: {count}")


if __name__ == "__main__":
    main()
