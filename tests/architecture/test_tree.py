"""What no single module can promise: lock files, leftovers, one schema."""

import re
import subprocess
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

import server.app  # noqa: F401 - declares the tables of every room
from server.kit.db import Base

ROOT = Path(__file__).parents[2]
_CODE = ("server", "offline_protocol", "client_sdk", "sim", "tests", "scripts")


def _tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (ROOT / line for line in listed.stdout.splitlines())
    return [path for path in paths if path.suffix in suffixes and path.is_file()]


@pytest.mark.parametrize(
    "lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda p: p.stem
)
def test_a_lock_file_has_a_hash_for_every_package_and_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    packages = re.split(r"\n(?=[a-z0-9])", text)
    assert packages
    assert [package for package in packages if "--hash=sha256:" not in package] == []


def test_nothing_unfinished_is_left_in_the_code() -> None:
    leftover = re.compile(r"\b(TODO|FIXME)\b|raise NotImplementedError")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _tracked(".py", ".sh")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if leftover.search(line)
    ]
    assert found == []


def test_every_package_folder_says_that_it_is_one() -> None:
    folders = {path.parent for path in _tracked(".py") if path.parts[len(ROOT.parts)] in _CODE}
    exempt = {ROOT / "server" / "migrations" / "versions"}
    assert [folder for folder in folders - exempt if not (folder / "__init__.py").exists()] == []


# SQLite has one integer type; a foreign key that guards the database is no business of a model.
_NO_DIFFERENCE = {"sqlite": {"modify_type", "remove_fk"}, "postgresql": {"remove_fk"}}


async def test_the_migrations_make_exactly_the_tables_that_the_models_declare(
    engine: AsyncEngine,
) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, Base.metadata)
        # A change of a column comes as a list of changes, everything else as it is.
        flat = [change for item in found for change in (item if isinstance(item, list) else [item])]
        return [change for change in flat if change[0] not in _NO_DIFFERENCE[engine.dialect.name]]

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
