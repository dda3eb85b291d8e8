"""The `tallystick` command: gathers the commands of all installed packages, loading each when used.

Entry points of the group "tallystick.commands" name them. A command whose requirements are not
installed stays in the list, with a hint instead of its help.
"""

import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Final

import click

from client_sdk.terminal.layout import keep_layout

GROUP: Final = "tallystick.commands"
DISTRIBUTION: Final = "tallystick"

# Summaries are repeated here because loading a command only to list it would take seconds.
SUMMARIES: Final[Mapping[str, str]] = {
    "wallet": "Hold, pay and receive money on this device, also offline.",
    "proof": "Check a fraud proof on its own.",
    "check-liabilities": "Check that your money is in what the operator published.",
    "serve": "Run the HTTP server.",
    "migrate": "Bring the server's database schema up to date.",
    "settings": "List the server's settings.",
    "keys": "Make and show the issuer's keys.",
    "role": "Give a person a role.",
    "messages": "Show what the sandbox wrote instead of sending it.",
    "verify-ledger": "Check the ledger's chain and totals.",
    "trial-balance": "Show the trial balance of the ledger.",
    "close-day": "Close the books of the days that are over.",
    "liabilities": "Publish what all users have, with proofs for each.",
    "checkpoints": "Keep the ends of the books elsewhere, compare them later.",
    "reconcile": "Show how outside parties compare with the books.",
    "account": "Show, limit and close accounts of the ledger.",
    "offline-report": "Show what is outstanding offline.",
    "offline-policy": "Show and change the limits of offline money.",
    "offline-fund": "Show the guarantee fund, endow it, take out of it.",
    "banks": "Add partner banks, change their secrets, suspend them.",
    "bank-files": "Payment orders in files, for banks without an API.",
    "bank-statement": "Import statements of partner banks.",
    "rates": "Show, load and set the rates of exchange.",
    "fx-terms": "Show and change spreads and charges of exchanges.",
    "fx-report": "Show what exchanges left the house with, and earned.",
    "limits": "Show and change limits, give people levels.",
    "withdrawal-terms": "Show and change minimum, maximum and fee of withdrawals.",
    "workflows": "See what is stuck, replay it, give it up.",
    "events": "Show, replay and clean up events and dead letters.",
    "demo": "Watch people pay offline, one cheat, and everything settle.",
}
EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "server": ("server", "litestar"),
    "sim": ("demo", "rich"),
}
"""By package: the extra that it needs, and a module that only the extra brings."""


class LazyGroup(click.Group):
    """A group whose commands are entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return sorted(_entry_points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        point = _entry_points().get(cmd_name)
        if point is None:
            return None
        try:
            command = point.load()
        except ModuleNotFoundError as error:
            return _missing(point, error)
        if not isinstance(command, click.Command):
            raise click.ClickException(f"The entry point {cmd_name!r} is no command.")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List names and summaries without loading any command."""
        ready: list[tuple[str, str]] = []
        waiting: dict[str, list[str]] = {}
        for name, point in sorted(_entry_points().items()):
            extra = _extra_missing_for(point)
            if extra is None:
                ready.append((name, SUMMARIES.get(name, "")))
            else:
                waiting.setdefault(extra, []).append(name)
        with formatter.section("Commands"):
            formatter.write_dl(ready)
        for extra, names in waiting.items():
            with formatter.section(f"After `pip install '{DISTRIBUTION}[{extra}]'`"):
                formatter.write_text(", ".join(names))


def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def _extra_missing_for(point: metadata.EntryPoint) -> str | None:
    extra, module = EXTRAS.get(point.module.partition(".")[0], ("", ""))
    return extra if module and find_spec(module) is None else None


def _missing(point: metadata.EntryPoint, error: ModuleNotFoundError) -> click.Command:
    """A command that says how to install what it needs."""
    package = point.module.partition(".")[0]
    extra, _ = EXTRAS.get(package, (package, ""))
    hint = (
        f"`{point.name}` needs the package {error.name!r}, which is not installed. "
        f"Install it with: pip install '{DISTRIBUTION}[{extra}]'"
    )

    @click.command(
        point.name,
        help=hint,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def missing() -> None:
        raise click.ClickException(hint)

    return missing


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION, prog_name=DISTRIBUTION)
@keep_layout
def root() -> None:
    """Money that keeps working when the network does not.

    Start here:
      tallystick demo               see it at work
      tallystick wallet --help      a wallet on this device
      tallystick serve              the server
    """


def main() -> None:
    """Run the command line."""
    try:
        root(prog_name=DISTRIBUTION)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; that is no error of ours.
        sys.stderr.close()
        sys.exit(1)
