"""Make .venv out of requirements.lock; do nothing when it is already so.

Standard library only: it runs under any Python from 3.11 on a machine that has nothing else. `uv` goes into a
private folder beside the environment; the environment gets exactly what the lock names, every file checked
against its hash, and this repository as an editable install.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
TOOLS = ROOT / ".tools"
STAMP = VENV / "backhaul.stamp"
INPUTS = ("requirements.lock", "pyproject.toml", "scripts/uv.requirements.lock", "scripts/bootstrap.py")


def wanted() -> str:
    """What the environment is made of, as one digest: when it changes, the environment is made anew."""
    digest = hashlib.sha256(sys.version.encode())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_ready(stamp: str) -> bool:
    if not (STAMP.exists() and STAMP.read_text() == stamp):
        return False
    # A folder that was moved or whose interpreter is gone still has its stamp.
    probe = subprocess.run([PYTHON, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
    return probe.returncode == 0 and Path(probe.stdout.strip()) == VENV


def run(*command: str | Path) -> None:
    environment = {
        **os.environ,
        "UV_PYTHON_DOWNLOADS": "never",
        "VIRTUAL_ENV": str(VENV),
        "UV_NO_PROGRESS": "1",
    }
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)


def find_uv() -> list[str | Path]:
    """The command for uv, installed in a folder of ours at first need."""
    lock = ROOT / "scripts" / "uv.requirements.lock"
    home = TOOLS / hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    if (home / "bin" / "uv").exists():
        return [home / "bin" / "uv"]
    pip_install = (
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
        "-r",
        lock,
    )
    shutil.rmtree(home, ignore_errors=True)
    if importlib.util.find_spec("ensurepip"):
        run(sys.executable, "-m", "venv", home)
        run(home / "bin" / "python", *pip_install)
        return [home / "bin" / "uv"]
    if importlib.util.find_spec("pip"):
        run(sys.executable, *pip_install, "--target", home)
        return [home / "bin" / "uv"]
    if found := shutil.which("uv"):
        return [found]
    sys.exit(
        f"{sys.executable} has neither `ensurepip` nor `pip`, so nothing can be installed with it.\n"
        "On Debian and Ubuntu: apt-get install python3-venv. Or install uv, or name another interpreter:\n"
        "make BACKHAUL_PYTHON=/path/to/python3.12 ..."
    )


def build(stamp: str) -> None:
    print(f"Setting up .venv with Python {sys.version.split()[0]}", flush=True)
    uv = find_uv()
    STAMP.unlink(missing_ok=True)
    if not PYTHON.exists() or not is_same_version():
        shutil.rmtree(VENV, ignore_errors=True)
        run(*uv, "venv", "--quiet", "--python", sys.executable, VENV)
    run(*uv, "pip", "sync", "--quiet", "--python", PYTHON, "--require-hashes", "requirements.lock")
    run(
        *uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        PYTHON,
        "--no-deps",
        "--no-build-isolation",
        "--editable",
        ".",
    )
    STAMP.write_text(stamp)


def is_same_version() -> bool:
    probe = subprocess.run([PYTHON, "-c", "import sys; print(sys.version, sys.prefix)"], capture_output=True, text=True)
    return probe.returncode == 0 and probe.stdout.strip() == f"{sys.version} {VENV}"


def main() -> None:
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "bootstrap.lock").open("w") as guard:  # two `make` at once build one environment
        fcntl.flock(guard, fcntl.LOCK_EX)
        if sys.argv[1:2] == ["uv"]:
            run(*find_uv(), *sys.argv[2:])
            return
        stamp = wanted()
        if not is_ready(stamp):
            build(stamp)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"Setting up .venv failed: {' '.join(map(str, error.cmd))} (exit code {error.returncode})")
