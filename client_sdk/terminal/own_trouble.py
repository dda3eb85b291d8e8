"""What is wrong with this wallet's own standing, said after every command."""

import click

from client_sdk.blocking import BlockingWallet


def warn_about(wallet: BlockingWallet) -> None:
    """Say that the issuer has blocked this device, or that its list is too old."""
    book = wallet.wallet.book
    if book.blocked:
        click.echo(
            "Note: the issuer has blocked this device: nobody takes payments from it. Sync while "
            "online and ask the issuer why.",
            err=True,
        )
    elif book.list_outdated:
        click.echo(
            "Note: your list of blocked devices is older than the issuer allows. Run `tallystick "
            "wallet sync` while online.",
            err=True,
        )
