"""`tallystick demo`."""

import json
import re
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

_PICTURE_TITLE = "What tallystick demo prints: eight chapters, two tables, every step ok"


@click.command()
@click.option("--keep", is_flag=True, help="Leave the server running and say how to reach it.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save what was shown as an SVG picture.",
)
def demo(*, keep: bool, picture: Path | None) -> None:
    """Watch people pay offline, one cheat, and everything settle.

    Plays the main job with real processes on this machine: a server on SQLite and three wallets.
    Everything lies in a fresh temporary folder; only 127.0.0.1 is used. The last line is a JSON
    object with what came out.

    \b
    Examples:
      tallystick demo
      tallystick demo --keep
    """
    from rich.console import Console

    from sim.demo.people import PEOPLE
    from sim.demo.processes import DemoFailed
    from sim.demo.stage import Stage
    from sim.demo.story import story_in

    console = Console(highlight=False, record=picture is not None)
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="tallystick-demo-"))
    with story_in(folder, Stage(console)) as story:
        try:
            outcome = story.play()
        except DemoFailed as failure:
            console.print(f"\n[bold red]The demo failed.[/] Its files are in {folder}")
            raise click.ClickException(str(failure)) from failure
        if picture is not None:
            picture.write_text(_picture(console), encoding="utf-8")
        console.print(f"\nThat took {time.monotonic() - started:.0f} s. Files: {folder}")
        if keep:
            story.server.stop()
            story.server.start(detached=True)
            console.print(f"\nThe server runs at {story.server.url} (process {story.server.pid}).")
            console.print(f"API page: {story.server.url}/docs")
            for person in PEOPLE:
                console.print(f"Log-in of {person.name}: {person.username} / {person.password}")
            console.print(f"Stop it with: kill {story.server.pid}")
            story.server.release()
    print(json.dumps(asdict(outcome)))
    if not outcome.as_hoped:
        sys.exit(1)


def _picture(console: "Console") -> str:
    """Return what was shown as SVG, with a title for screen readers and with system fonts."""
    drawing = console.export_svg(title="tallystick demo")
    drawing = re.sub(r"@font-face \{[^}]*\}\s*", "", drawing)
    return re.sub(
        r"(<svg [^>]*)>", rf'\1 role="img"><title>{_PICTURE_TITLE}</title>', drawing, count=1
    )
