"""The source distribution: all that its own tests read is in it, and they run from it."""

import subprocess
import sys
import tarfile

import pytest

from known import REPOSITORY, environment

sdist = pytest.importorskip("hatchling.builders.sdist")

PARTS = ("src", "tests", "configs", "docs", "benchmarks")
FILES = ("conftest.py", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    (archive,) = sdist.SdistBuilder(str(REPOSITORY)).build(directory=str(folder), versions=["standard"])
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (root,) = (path for path in folder.iterdir() if path.is_dir())
    return root


def texts(root):
    kinds = {".py", ".md", ".toml", ".json", ".geojson", ".csv", ".txt"}
    found = (path for part in PARTS for path in (root / part).rglob("*") if path.suffix in kinds)
    # Hidden ones and what runs leave behind are no part of either.
    return {path.relative_to(root) for path in found if not any(p.startswith((".", "__pyc")) for p in path.parts[-4:])}


@pytest.mark.once
def test_all_that_the_tests_read_is_in_it(unpacked):
    for name in FILES:
        assert (unpacked / name).read_bytes() == (REPOSITORY / name).read_bytes()
    for part in PARTS:
        assert (unpacked / part).is_dir()
    packed = texts(unpacked)
    assert {path for path in texts(REPOSITORY) if path.suffix in (".py", ".md")} <= packed


@pytest.mark.once
@pytest.mark.timeout(900)
def test_the_tests_run_from_it(unpacked):
    # Those that read what lies beside the package: pages, benchmarks and configs.
    chosen = ["tests/test_scale_page.py", "tests/config/test_jobs.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-x", *chosen]
    ended = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, env=environment(), check=False)
    assert ended.returncode == 0, ended.stdout[-2_000:]
