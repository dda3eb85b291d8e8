import base64
from dataclasses import fields
from pathlib import Path

import pytest

from server.master_key import load_vault
from server.settings import Settings, SettingsError, load_settings, settings_table


def test_an_empty_environment_gives_a_server_on_sqlite() -> None:
    settings = load_settings({})
    assert settings.resolved_database_url == "sqlite+aiosqlite:///var/tallystick.sqlite"


def test_values_are_read_by_their_type() -> None:
    key = bytes(range(32))
    settings = load_settings(
        {
            "TALLYSTICK_PORT": "1234",
            "TALLYSTICK_MIGRATE_AT_START": "false",
            "TALLYSTICK_DATA_DIR": "/srv/tally",
            "TALLYSTICK_MASTER_KEY": base64.b64encode(key).decode(),
        }
    )
    assert (settings.port, settings.migrate_at_start) == (1234, False)
    assert (settings.data_dir, settings.master_key) == (Path("/srv/tally"), key)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TALLYSTICK_PORT", "http"),
        ("TALLYSTICK_MIGRATE_AT_START", "yes"),
        ("TALLYSTICK_MASTER_KEY", "c2hvcnQ="),
        ("TALLYSTICK_MASTER_KEY", "not base64"),
        ("TALLYSTICK_PROT", "8787"),
        ("TALLYSTICK_CARD_GATEWAY", "nowhere"),
        ("TALLYSTICK_LOG_LEVEL", "loud"),
        ("TALLYSTICK_PORT", "65536"),
        ("TALLYSTICK_PORT", "-1"),
        ("TALLYSTICK_TENANT", "0"),
        ("TALLYSTICK_DATABASE_POOL_SIZE", "0"),
        ("TALLYSTICK_BACKGROUND_INTERVAL_MS", "0"),
        ("TALLYSTICK_DATABASE_URL", "tally.sqlite"),
        ("TALLYSTICK_DATABASE_URL", "mysql://localhost/tally"),
        ("TALLYSTICK_DATABASE_URL", "postgresql://localhost/tally"),
        ("TALLYSTICK_PUBLIC_URL", "pay.example"),
        ("TALLYSTICK_PUBLIC_URL", "https://pay.example/?a=1"),
        ("TALLYSTICK_PHONE_REGION", "Turkey"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({name: value})


def test_a_damaged_master_key_file_is_refused_not_replaced(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    sealed = load_vault(settings).seal(b"x", "c", nonce=bytes(24))
    assert load_vault(settings).open(sealed, "c") == b"x"
    (tmp_path / "master.key").write_bytes(b"short")
    with pytest.raises(SettingsError, match="damaged"):
        load_vault(settings)


def test_the_table_explains_every_setting() -> None:
    rows = settings_table()
    assert len(rows) == len(fields(Settings))
    assert all(meaning for _, _, meaning in rows)


def test_a_lost_master_key_is_not_replaced(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    load_vault(settings)
    settings.keys_dir.mkdir()
    (tmp_path / "master.key").unlink()
    with pytest.raises(SettingsError, match="missing"):
        load_vault(settings)
    assert not (tmp_path / "master.key").exists()


def test_addresses_of_both_databases_are_taken() -> None:
    for url in ("sqlite+aiosqlite:///a.sqlite", "postgresql+asyncpg://u:p@h:5432/d"):
        assert load_settings({"TALLYSTICK_DATABASE_URL": url}).database_url == url
