"""The wheel, and a machine that has it and nothing else."""

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Phone:
    """A virtual environment with the bare wheel."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    def run(self, *command: str | Path, **environment: str) -> str:
        """Run a command to its end, away from the repository."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env={"PATH": str(self.python.parent), "HOME": str(self.folder)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def execute(self, program: str) -> str:
        return self.run(self.python, "-W", "error", "-c", program)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("tallystick-*.whl"))


@pytest.fixture(scope="session")
def phone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Phone:
    made = Phone(tmp_path_factory.mktemp("phone"))
    venv.create(made.folder / "venv", with_pip=False)
    uv = Path(sys.executable).with_name("uv")
    locked = ["--constraint", str(ROOT / "requirements" / "run.txt")]
    subprocess.run(
        [uv, "pip", "install", "-q", "--python", made.python, *locked, wheel],
        check=True,
        cwd=made.folder,
    )
    return made
