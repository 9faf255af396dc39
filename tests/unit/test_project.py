"""The project itself: what is tracked, the container files, the Makefile, and that the guards can fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from sqlalchemy import make_url

from tests.servers.postgres import PostgresServer, find_binaries

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["importlinter"]["root_packages"]
TARGETS = ("help", "demo", "up", "test", "check", "bench", "schema", "lock")


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=500
    )


# What is tracked

ADDRESSES = {
    # Spelled in pieces, as this file is tracked as well.
    "a package registry": r"https?://[\w.-]*(?:pypi\.|pythonhosted|npmjs|crates\.io|deb\.debian)|--(?:extra-)?index-url\s+\S",
    "a machine's path": r"(?<![\w.])/(?:work|root|home/\w+|opt/(?:pypi|wheels))/(?!backhaul\b)",
    "a folder outside": r"\.\./shared\b",
}


def offences(text: str) -> list[str]:
    return [what for what, pattern in ADDRESSES.items() if re.search(pattern, text)]


def test_no_tracked_file_names_a_registry_or_a_machine() -> None:
    listed = run("git", "ls-files", "-z")
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    found = []
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if not name or path == Path(__file__) or not path.is_file():
            continue
        found += [(name, what) for what in offences(path.read_bytes().decode(errors="ignore"))]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://example.org/simple",
        "see https://files.pythonhosted.org/packages/x.whl",
        "/root/.cache/x",
        "/home/someone/x",
        "cat ../shared/spec",
    ],
)
def test_the_search_for_addresses_finds_them(text: str) -> None:
    assert offences(text)


def test_lock_is_pinned_and_hashed() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "http:" not in lock
    assert "https:" not in lock
    for requirement in re.split(r"\n(?=\S)", lock.strip()):
        assert re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement
    assert re.search(r"^temporalio==1\.35\.", lock, re.M)


def test_wheel_holds_backhaul_alone(tmp_path: Path) -> None:
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    built = run(SCRIPTS / "hatchling", "build", "-t", "wheel", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    listed = run(sys.executable, "-m", "zipfile", "-l", wheel).stdout.splitlines()[1:]
    names = {line.split()[0] for line in listed}
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"backhaul"}
    wanted = [*(ROOT / "backhaul").glob("policy/books/*.toml"), *(ROOT / "backhaul").glob("schemas/*.json")]
    assert {str(path.relative_to(ROOT)) for path in wanted} <= names
    assert "backhaul/py.typed" in names


# The Makefile


def test_help_lists_every_target() -> None:
    shown = run("make", "help")
    assert shown.returncode == 0, shown.stderr
    listed = re.findall(r"^  make (\S+)", shown.stdout, re.M)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony is not None
    assert sorted(listed) == sorted(phony[1].split())
    assert set(TARGETS) <= set(listed)
    assert run("make").stdout == shown.stdout


def test_a_python_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    """A pyenv shim exists for versions that are not selected, and fails."""
    for name in ("python3.13", "python3.12", "python3.11"):
        shim = tmp_path / name
        shim.write_text("#!/bin/sh\nexit 127\n")
        shim.chmod(0o755)
    (tmp_path / "python3").symlink_to(sys.executable)
    path = os.pathsep.join([str(tmp_path), "/usr/bin", "/bin"])
    found = run(ROOT / "scripts" / "find-python", PATH=path, HOME=str(tmp_path), PYENV_ROOT="", BACKHAUL_PYTHON="")
    assert found.stdout.strip() == str(tmp_path / "python3"), found.stderr


def test_no_python_is_said_so(tmp_path: Path) -> None:
    for name in ("sh", "ls", "sort"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    found = run(
        "/bin/sh", ROOT / "scripts" / "find-python",
        PATH=str(tmp_path), HOME=str(tmp_path), PYENV_ROOT="", BACKHAUL_PYTHON="",
    )  # fmt: skip
    assert found.returncode == 1
    assert "Backhaul needs Python 3.11, 3.12 or 3.13" in found.stderr


# The container files


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    return run(SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)


def test_compose_file_is_valid() -> None:
    checked = validate(ROOT / "docker-compose.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_compose_check_can_fail(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text("services: {worker: {image: x, comand: y}}")
    assert validate(broken).returncode != 0


def test_every_long_running_service_has_a_health_check_and_nobody_just_hopes() -> None:
    services = compose()["services"]
    awaited = {
        (name, on["condition"]) for service in services.values() for name, on in service.get("depends_on", {}).items()
    }
    assert {condition for _, condition in awaited} == {"service_healthy", "service_completed_successfully"}
    jobs = {name for name, condition in awaited if condition == "service_completed_successfully"}
    for name, service in services.items():
        assert ("test" in service.get("healthcheck", {})) == (name not in jobs), name
        assert service["restart"] == ("on-failure:5" if name in jobs else "unless-stopped"), name
    assert "auto-setup" not in (ROOT / "docker-compose.yml").read_text()


def test_every_command_names_a_module_of_ours() -> None:
    image = re.search(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.M)
    assert image is not None
    commands = [yaml.safe_load(image[1]), *(s["command"] for s in compose()["services"].values() if "command" in s)]
    assert len(commands) > 4
    for python, flag, module, *_ in commands:
        assert (python, flag) == ("python", "-m")
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"python -m {module}"


def test_every_mounted_or_copied_path_exists() -> None:
    for name, service in compose()["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists(), (name, source)
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        assert not line.startswith("!") or (ROOT / line[1:]).exists(), line


def test_database_script_creates_what_the_services_use(postgres_server: PostgresServer) -> None:
    psql = shutil.which("psql", path=str(find_binaries()))
    if psql is None or os.environ.get("BACKHAUL_TEST_DATABASE_URL"):
        pytest.skip("needs a server of our own, and psql")
    admin = postgres_server.admin
    done = run(
        ROOT / "deploy/postgres/create-databases.sh",
        PATH=f"{Path(psql).parent}{os.pathsep}{os.environ['PATH']}",
        PGHOST=str(admin.host),
        PGPORT=str(admin.port),
        POSTGRES_USER="postgres",
        TEMPORAL_DB_PASSWORD="it's one",
        BACKHAUL_DB_PASSWORD="another",
    )
    assert done.returncode == 0, done.stderr
    for role, database in (("temporal", "temporal"), ("temporal", "temporal_visibility"), ("backhaul", "backhaul")):
        url = make_url(postgres_server.url(database)).set(drivername="postgresql", username=role)
        with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
            connection.execute("CREATE TABLE owned (n int)")
        postgres_server.drop(database)


# The architecture: each contract is kept here, and breaks when its rule is broken

PLANTED = {
    "layers": ("store/planted.py", "import workflows"),
    "layers between equals": ("store/planted.py", "import gateways"),
    "worker-api": ("worker/planted.py", "import api"),
    "activities-workflows": ("activities/planted.py", "import workflows"),
    "declarations-only": ("workflows/planted.py", "import activities.implementation"),
    "workflows-pure": ("workflows/planted.py", "import sqlmodel"),
    "workflows-no-zoneinfo": ("workflows/planted.py", "import zoneinfo"),
    "declarations-pure": ("activities/declarations.py", "import activities.implementation"),
    "declarations-pure in the contract": ("activities/contract.py", "import sqlmodel"),
    "backhaul-core": ("backhaul/planted.py", "import temporalio.workflow"),
    "backhaul-core by the client": ("backhaul/planted.py", "import backhaul.client"),
    "backhaul-client": ("backhaul/client.py", "import typer"),
    "backhaul-cli": ("backhaul/cli.py", "import sqlalchemy"),
    "sandbox-apart": ("sandbox/planted.py", "import backhaul"),
    "product-without-sandbox": ("api/planted.py", "import sandbox"),
    "unwanted": ("gateways/planted.py", "import httpx"),
}


def skeleton(folder: Path) -> Path:
    """A tree with the project's packages and contracts, and nothing to object to."""
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    for name in ("activities/declarations.py", "activities/contract.py", "activities/implementation.py"):
        (folder / name).touch()
    for name in ("backhaul/client.py", "backhaul/cli.py"):
        (folder / name).write_text("import temporalio.client\n")
    (folder / "workflows" / "story.py").write_text("from activities import contract, declarations\nimport backhaul\n")
    shutil.copy(ROOT / "scripts" / "contracts.py", folder / "scripts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint_imports(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The editable install would put the real packages on the path as well; the tree's own come first.
    return run(SCRIPTS / "lint-imports", "--no-cache", *arguments, cwd=folder, PYTHONPATH=str(folder))


def test_contracts_are_kept_by_a_tree_without_fault(tmp_path: Path) -> None:
    kept = lint_imports(skeleton(tmp_path))
    assert kept.returncode == 0, kept.stdout


@pytest.mark.parametrize("case", PLANTED)
def test_contract_breaks(case: str, tmp_path: Path) -> None:
    contract = case.split()[0]
    skeleton(tmp_path)
    name, text = PLANTED[case]
    with (tmp_path / name).open("a") as file:
        file.write(f"{text}\n")
    broken = lint_imports(tmp_path, "--contract", contract)
    assert broken.returncode == 1, broken.stdout
    assert "BROKEN" in broken.stdout


def test_every_contract_has_a_planted_fault() -> None:
    contracts = {contract["id"] for contract in PROJECT["tool"]["importlinter"]["contracts"]}
    assert contracts == {case.split()[0] for case in PLANTED}


@pytest.mark.parametrize("package", ["backhaul", "workflows"])
@pytest.mark.parametrize(
    "text",
    [
        "from datetime import datetime\ndatetime.now()",
        "import time\ntime.time()",
        "import random\nrandom.random()",
        "import uuid\nuuid.uuid4()",
        "import os\nos.environ['X']",
    ],
)
def test_clocks_and_chance_are_banned_where_a_replay_sees_them(package: str, text: str) -> None:
    def lint(name: str) -> str:
        return subprocess.run(
            [SCRIPTS / "ruff", "check", "--select", "TID251", "--stdin-filename", name, "-"],
            cwd=ROOT, input=text, capture_output=True, text=True,
        ).stdout  # fmt: skip

    assert "TID251" in lint(f"{package}/planted.py")
    assert "TID251" not in lint("worker/planted.py")
