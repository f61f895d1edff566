"""What is published: a wheel and an sdist that an index takes, and that run where nothing else is."""

import email
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from patience import at_most

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]


def run(*command: object, **more) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=at_most(500),
        check=False,
        stdin=subprocess.DEVNULL,
        **more,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with both, as `make dist` builds them."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--installer", "uv", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (found,) = built.glob("*.whl")
    return found


def python(version: str) -> str:
    """An interpreter of this version; the test is skipped where the machine has none."""
    candidates = [
        shutil.which(f"python{version}"),
        *map(str, (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")),
    ]
    for each in filter(None, candidates):
        says = subprocess.run([each, "-c", "import sys; print(sys.version)"], capture_output=True, text=True)
        if says.stdout.startswith(f"{version}."):
            return each
    pytest.skip(f"this machine has no Python {version}")


def test_an_index_takes_them(built, wheel):
    """Strict checks of the metadata and of what the wheel holds: two packages, and no file that is nobody's."""
    assert {path.suffix for path in built.iterdir()} == {".whl", ".gz"}
    run(BIN / "twine", "check", "--strict", *built.iterdir())
    run(BIN / "check-wheel-contents", wheel, cwd=ROOT)
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "wgtwo_pipeline/py.typed",
        "wgtwo_pipeline/beam_providers.yaml",
        "wgtwo/events/v0/events_pb2.pyi",
        "wgtwo/events/v0/events.proto",
    ):
        assert needed in names


def test_links_of_the_readme_hold_on_an_index(built, wheel):
    """They are absolute; what the repository's README links to is named, and is in the sdist."""
    (metadata,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA"))
    text = email.message_from_bytes(zipfile.ZipFile(wheel).read(metadata)).get_payload()
    assert not re.findall(r"\]\((?!https?://)[^)]*\)", text)
    linked = re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / "README.md").read_text())
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert linked
    for path in linked:
        assert f"`{path}`" in text
        assert any(name == path or name.startswith(f"{path}/") for name in held), path


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_wheel_runs_where_nothing_else_is(wheel, tmp_path, version):
    """`run` in an empty folder with an empty home; a folder `pipeline` on the path of imports changes nothing."""
    environment, home, folder, stray = (tmp_path / name for name in ("venv", "home", "folder", "stray"))
    for each in (home, folder, stray / "pipeline"):
        each.mkdir(parents=True)
    (stray / "pipeline" / "__init__.py").write_text("raise RuntimeError('a stranger')\n")
    run(python(version), "-m", "venv", environment)
    to = ("--python", environment / "bin" / "python")
    run(BIN / "uv", "pip", "install", *to, wheel, "-c", ROOT / "requirements.lock", cwd=folder)
    variables = {"PATH": f"{environment}/bin:/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(stray)}
    ended = run("wgtwo-pipeline", "run", "--for", "10s", cwd=folder, env=variables)
    assert "audit passed" in ended.stdout
    assert not re.search(r"WARN|ERROR|Traceback", ended.stderr), ended.stderr
    deep = run("python", "-m", "wgtwo_pipeline", "audit", "--deep", cwd=folder, env=variables)
    assert "audit passed" in deep.stdout
    assert [path.name for path in folder.iterdir()] == ["lake"]
    assert list(home.iterdir()) == []
