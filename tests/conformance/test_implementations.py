"""Both implementations give every verdict of the vectors, and agree about published edge cases."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.runner import ClientEnded, Implementation, run
from tests.conformance.vector_files import Case, cases
from tests.unit.published.vectors import published

ROOT = Path(__file__).resolve().parents[2]
OURS = [sys.executable, "-m", "tests.conformance.client"]
WEB = ROOT / "client_sdk" / "web"
GIVEN = {
    "PUBLISHED_VECTORS": str(ROOT.parent / "shared" / "references" / "vectors"),
    "TRAPS": str(ROOT / "tests" / "unit" / "published" / "traps.json"),
}
"""Where the tests of the package look, since it is not built inside the repository."""


def _run(*command: str, cwd: Path) -> str:
    environment = os.environ | GIVEN
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TypeScript package, installed from its lock file and compiled, beside the repository."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on this machine; scripts/test-needs.sh installs them")
    folder = tmp_path_factory.mktemp("web")
    left_out = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(WEB, folder, ignore=left_out, dirs_exist_ok=True)
    _run("npm", "ci", "--silent", cwd=folder)
    _run("npm", "run", "--silent", "build", cwd=folder)
    return folder


def _other(web: Path) -> list[str]:
    return ["node", str(web / "dist" / "node" / "conformance.js")]


def test_our_implementation_gives_every_verdict_of_the_vectors() -> None:
    with Implementation(OURS, cwd=ROOT) as implementation:
        report = run(implementation, cases())
    assert not report.differences, report.to_text()
    assert not report.unsupported


@pytest.mark.slow
def test_the_typescript_implementation_gives_every_verdict_of_the_vectors(web: Path) -> None:
    with Implementation(_other(web)) as implementation:
        report = run(implementation, cases())
    assert not report.differences, report.to_text()
    assert not report.unsupported


@pytest.mark.slow
def test_the_typescript_tests_pass(web: Path) -> None:
    printed = _run("npm", "test", "--silent", cwd=web)
    assert "fail 0" in printed
    assert "pass 0" not in printed


def _edge_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    for case in published("cctv-ed25519", "ed25519vectors.json"):
        message = case["msg"].encode().hex()
        yield "signature", {"key": case["key"], "message": message, "signature": case["sig"]}
        yield "key", {"raw": case["key"]}
    for group in published("wycheproof", "ed25519_test.json")["testGroups"]:
        for test in group["tests"]:
            key = group["publicKey"]["pk"]
            yield "signature", {"key": key, "message": test["msg"], "signature": test["sig"]}
    for group in published("wycheproof", "ecdsa_secp256r1_sha256_p1363_test.json")["testGroups"]:
        point = group["publicKey"]["uncompressed"]
        key = f"{2 + int(point[-1], 16) % 2:02x}{point[2:66]}"
        for test in group["tests"]:
            yield "signature", {"key": key, "message": test["msg"], "signature": test["sig"]}
    for example in published("cbor-rfc8949-appendix-a", "appendix_a.json"):
        yield "cbor", {"data": example["hex"]}


@pytest.mark.slow
def test_both_implementations_agree_about_published_edge_cases(web: Path) -> None:
    with Implementation(OURS, cwd=ROOT) as ours, Implementation(_other(web)) as other:
        verdicts = [
            (kind, given, ours.judge(case), other.judge(case))
            for kind, given in _edge_cases()
            for case in [Case("published", "", kind, given, {})]
        ]
    assert len(verdicts) > 2_000
    assert {"ok", "error"} <= {name for _, _, verdict, _ in verdicts for name in verdict}
    assert [found for found in verdicts if found[2] != found[3]] == []


def _client(tmp_path: Path, answers: str) -> list[str]:
    """A program that says hello and then answers every case in one way."""
    script = tmp_path / "client.py"
    script.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    hello = {'name': 'other', 'kinds': ['cbor', 'key']}\n"
        f"    answer = hello if 'hello' in json.loads(line) else {answers}\n"
        "    print(json.dumps(answer), flush=True)\n",
        encoding="utf-8",
    )
    return [sys.executable, str(script)]


def test_the_runner_finds_a_program_that_takes_everything(tmp_path: Path) -> None:
    with Implementation(_client(tmp_path, "{'ok': {}}")) as implementation:
        report = run(implementation, cases())
    assert {case.kind for case, _ in report.differences} == {"cbor", "key"}
    assert report.agreed == 0
    assert report.unsupported["payment"] > 0
    assert "0 agree" in report.to_text()


def test_the_runner_finds_a_program_that_refuses_everything(tmp_path: Path) -> None:
    refuses = "{'error': 101, 'code': 'malformed_cbor'}"
    with Implementation(_client(tmp_path, refuses)) as implementation:
        report = run(implementation, cases())
    assert report.counts["cbor", "101"] > 500
    assert {case.verdict for case, _ in report.differences} == {"ok", "102", "112"}


def test_a_refusal_with_another_code_or_fact_is_a_difference(tmp_path: Path) -> None:
    given = Case("", "", "cbor", {}, {"error": 101, "code": "malformed_cbor"})
    for answers in ("{'error': 101}", "{'error': 101, 'code': 'other'}", "{'fault': 'x'}"):
        with Implementation(_client(tmp_path, answers)) as implementation:
            assert run(implementation, [given]).differences


def test_a_program_that_ends_is_told_apart_from_one_that_refuses(tmp_path: Path) -> None:
    with (
        Implementation(_client(tmp_path, "sys.exit(0)")) as implementation,
        pytest.raises(ClientEnded),
    ):
        run(implementation, cases())


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [(None, 0, "0 differ"), ("{'ok': {}}", 1, "expected")],
)
def test_the_runner_is_a_command(
    tmp_path: Path, answers: str | None, code: int, words: str
) -> None:
    command = OURS if answers is None else _client(tmp_path, answers)
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.runner", "--", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stdout
