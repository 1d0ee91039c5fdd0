"""What holds for the repository as a whole: hygiene, packaging, the commands it promises."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = {
    "sageserve_env": "sageserve_env",
    "sageserve_agents": "agents/sageserve_agents",
    "sageserve_traces": "traces/sageserve_traces",
    "sageserve_bench": "benchmarks/sageserve_bench",
    "sageserve_capacity": "benchmarks/sageserve_capacity",
    "sageserve_cli": "benchmarks/sageserve_cli",
    "sageserve_search": "benchmarks/sageserve_search",
    "sageserve_validation": "benchmarks/sageserve_validation",
}
MAX_LINES = 500
WRITTEN_BY_HAND = {".css", ".html", ".ini", ".js", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e]/\w+|User[s]/\w+)/")
PACKAGE_HOST = re.compile(
    r"pythonhoste[d]\.org|(?:test\.|//)pyp[i]\.org/simple|download\.pytorc[h]"
)


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    """Return the tracked files, relative to the root."""
    if shutil.which("git") is None or not (repository / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z"]
    names = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
    paths = [Path(name) for name in names.stdout.split("\0") if name]
    return [path for path in paths if (repository / path).is_file()]


def _text(path: Path) -> str:
    """Return the text of a file, or nothing if it is binary."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8", errors="replace")


def _makefile_targets(repository: Path) -> set[str]:
    return set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_HOST], ids=["path", "host"])
def test_nothing_names_a_machine(
    repository: Path, tracked: list[Path], pattern: re.Pattern[str]
) -> None:
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in tracked
        for number, line in enumerate(_text(repository / path).splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


def test_what_code_cites_stands_in_the_sources(repository: Path, tracked: list[Path]) -> None:
    """Nothing cites a document outside the repository, and every cited section is there."""
    outside = re.compile(r"\b(?:DOMAI[N]|DESIG[N]|STYL[E])(?:\.md\b| section)")
    cited = re.compile(r'docs/sources\.md,[\s#:]*"([^"]+)"')
    sections = set(re.findall(r"^## (.+)$", _text(repository / "docs/sources.md"), re.MULTILINE))
    found = []
    for path in tracked:
        text = _text(repository / path)
        found += [f"{path}: {match[0]}" for match in outside.finditer(text)]
        names = [re.sub(r"\s+#?:?\s*", " ", match[1]) for match in cited.finditer(text)]
        found += [f"{path}: no section {name!r}" for name in names if name not in sections]
    assert found == []


def test_no_file_is_long(repository: Path, tracked: list[Path]) -> None:
    long = {
        str(path): lines
        for path in tracked
        if path.suffix in WRITTEN_BY_HAND and path.parts[:2] != ("benchmarks", "results")
        if (lines := len(_text(repository / path).splitlines())) > MAX_LINES
    }
    assert long == {}


def test_no_environment_or_cache_is_tracked(tracked: list[Path]) -> None:
    unwanted = {".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
    assert [path for path in tracked if unwanted & set(path.parts)] == []


@pytest.mark.parametrize("folder", PACKAGES.values())
def test_package_is_typed(repository: Path, folder: str) -> None:
    assert (repository / folder / "__init__.py").is_file()
    assert (repository / folder / "py.typed").is_file()


def test_readme_commands_are_targets(repository: Path) -> None:
    readme = (repository / "README.md").read_text()
    blocks = "\n".join(re.findall(r"```[a-z]*\n(.*?)```", readme, re.DOTALL))
    inline = "\n".join(re.findall(r"`([^`\n]+)`", readme))
    wanted = set(re.findall(r"^make ([a-z]+)", f"{blocks}\n{inline}", re.MULTILINE))
    assert {"compare", "test"} <= wanted
    assert wanted <= _makefile_targets(repository)


def test_the_readme_is_short(repository: Path) -> None:
    assert len((repository / "README.md").read_text("utf-8").splitlines()) < 120


def test_ci_runs_make_test(repository: Path) -> None:
    script = repository / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in script.read_text()
    assert "make test" in script.read_text().splitlines()
    assert "test" in _makefile_targets(repository)


def test_constraints_pin_every_line(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", pin)] == []
    assert "torch==2.13.0" in pins


@pytest.mark.slow
def test_wheel_holds_the_packages_and_their_data(
    repository: Path, tracked: list[Path], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(repository)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (wheel,) = tmp_path.glob("sageserve_env-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in tracked
        if path.is_relative_to(folder)
    }
    assert expected <= names
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
