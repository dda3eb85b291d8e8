"""What the audience sees: chapters, plain sentences, tables."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

CHAPTERS = 8


class Stage:
    """Prints the story. Colour only where the terminal has it; meaning never by colour alone."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._chapter = 0

    def chapter(self, title: str) -> None:
        self._chapter += 1
        self.console.print()
        self.console.rule(Text(f"{self._chapter}/{CHAPTERS}  {title}", style="bold"), align="left")

    @contextmanager
    def doing(self, sentence: str) -> Iterator[None]:
        """Show what is going on, then that it is done."""
        with self.console.status(sentence):
            yield
        self.console.print(Text.assemble(("  ok  ", "green"), sentence))

    def say(self, sentence: str) -> None:
        self.console.print(Text.assemble(("      ", ""), sentence))

    def good(self, sentence: str) -> None:
        self.console.print(Text.assemble(("  ok  ", "bold green"), (sentence, "green")))

    def alarm(self, sentence: str) -> None:
        self.console.print(Text.assemble(("  !!  ", "bold red"), (sentence, "red")))

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
