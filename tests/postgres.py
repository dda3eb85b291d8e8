"""A PostgreSQL cluster of our own for the tests: started, used, thrown away."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

_SUPERUSER = "tally"
_ROOT_RUNS_AS = "postgres"


@contextmanager
def cluster(*, fsync: bool = False) -> Iterator[str]:
    """Yield the address (up to the database name) of a running cluster.

    The server is a child that dies with this process, also when that is killed. Started as root it
    drops to the user that Debian's package made, since PostgreSQL refuses to run as root.
    """
    with tempfile.TemporaryDirectory(prefix="tallystick-pg-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)
        home = directory / "cluster"
        home.mkdir()
        user, group, groups = _unprivileged()
        if user is not None:
            os.chown(home, user, -1 if group is None else group)
        log_path = home / "log"
        with log_path.open("wb") as log:
            spawn = partial(
                subprocess.Popen,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=group,
                extra_groups=groups,
            )
            initdb = [program("initdb"), "-D", str(home / "data"), "-U", _SUPERUSER]
            initdb += ["-A", "trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
            if spawn(initdb).wait() != 0:
                raise RuntimeError(f"initdb failed:\n{log_path.read_text()}")
            port = _free_port()
            options = ["-p", str(port), "-k", str(home), "-c", "listen_addresses=127.0.0.1"]
            options += ["-c", f"fsync={'on' if fsync else 'off'}", "-c", "max_connections=200"]
            server = spawn(
                [program("postgres"), "-D", str(home / "data"), *options],
                preexec_fn=_die_with_parent,
            )
            try:
                _wait_until_ready(server, port, log_path)
                yield f"postgresql+asyncpg://{_SUPERUSER}@127.0.0.1:{port}"
            finally:
                server.send_signal(signal.SIGINT)
                try:
                    server.wait(10)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()


def _unprivileged() -> tuple[int | None, int | None, list[int] | None]:
    if os.geteuid() != 0:
        return None, None, None
    user = pwd.getpwnam(_ROOT_RUNS_AS)
    return user.pw_uid, user.pw_gid, []


def program(name: str) -> str:
    candidates = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4])
    )
    if candidates:
        return str(candidates[-1])
    if found := shutil.which(name):
        return found
    raise RuntimeError(
        "PostgreSQL is not installed; `make test` installs it, scripts/test-needs.sh too"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: "subprocess.Popen[str]", port: int, log: Path) -> None:
    isready = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-U", _SUPERUSER]
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended at once:\n{log.read_text()}")
        if subprocess.run([*isready, "-t", "1"], check=False).returncode == 0:
            return
    raise RuntimeError(f"PostgreSQL did not come up:\n{log.read_text()}")


def _die_with_parent() -> None:
    parent_death_signal = 1
    ctypes.CDLL("libc.so.6").prctl(parent_death_signal, signal.SIGKILL)
