"""Message brokers of our own for the tests: real servers, stopped and started at will."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.postgres import _die_with_parent, _free_port

_START_S = 60


class Server:
    """A server with a port and a folder that survive its restarts.

    It is a child that dies with this process, also when that is killed.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        port: int,
        home: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.port = port
        self._name = name
        self._command = list(command)
        self._home = home
        self._environment = {**os.environ, **(environment or {})}
        self._user = user if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        entry = pwd.getpwnam(self._user) if self._user else None
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                user=entry.pw_uid if entry else None,
                group=entry.pw_gid if entry else None,
                extra_groups=[] if entry else None,
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{self._name} is not there:\n{(self._home / 'log').read_text()}"
                )
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def redis(*, durable: bool = True) -> Iterator[Server]:
    """A Redis that has on disk what it has confirmed, or that keeps nothing."""
    with _home("redis") as home:
        port = _free_port()
        command = [_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(home)]
        if durable:
            command += ["--appendonly", "yes", "--appendfsync", "always"]
        with _running(Server("Redis", command, port=port, home=home)) as server:
            yield server


@contextmanager
def nats(*, payload_max: int = 1_048_576) -> Iterator[Server]:
    with _home("nats") as home:
        port = _free_port()
        config = home / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\nmax_payload: {payload_max}\n'
            f'jetstream {{ store_dir: "{home}" }}\n'
        )
        command = [_program("nats-server"), "-c", str(config)]
        with _running(Server("NATS", command, port=port, home=home)) as server:
            yield server


@contextmanager
def rabbitmq() -> Iterator[Server]:
    """RabbitMQ with an epmd of its own; as root it drops to the user that Debian's package made."""
    with _home("rabbit") as home:
        if os.geteuid() == 0:
            entry = pwd.getpwnam("rabbitmq")
            os.chown(home, entry.pw_uid, entry.pw_gid)
        port, distribution, mapper = _free_port(), _free_port(), _free_port()
        config = home / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.default = 127.0.0.1:{port}\n")
        plugins = home / "plugins"
        plugins.write_text("[].")
        for path in (config, plugins):
            path.chmod(0o644)
        environment = {
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"t{port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "logs"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} -setcookie tests"
            ),
        }
        [script] = sorted(Path("/usr/lib/rabbitmq").glob("lib/*/sbin/rabbitmq-server")) or [
            Path(_program("rabbitmq-server"))
        ]
        server = Server(
            "RabbitMQ",
            [str(script)],
            port=port,
            home=home,
            environment=environment,
            user="rabbitmq",
        )
        try:
            with _running(server):
                yield server
        finally:
            # Erlang's port mapper outlives the servers that it was started for.
            if epmd := shutil.which("epmd"):
                subprocess.run(
                    [epmd, "-port", str(mapper), "-kill"],
                    env={**os.environ, **environment},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _home(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(
        prefix=f"tallystick-{name}-", ignore_cleanup_errors=True
    ) as folder:
        home = Path(folder)
        home.chmod(0o755)
        yield home


def _program(name: str) -> str:
    if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin"):
        return found
    raise RuntimeError(f"{name} is not installed; scripts/test-needs.sh installs it")
