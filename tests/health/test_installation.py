import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpcsbi.health import installation
from hpcsbi.health.check import OK, WARNING, WRONG
from hpcsbi.health.installation import home, libraries, python, torch_and_gpu
from hpcsbi.launch.checkout import ROOT

CONSTRAINTS = ROOT / "constraints.txt"
NEEDS = ["numpy>=2.0", "Zarr>=3.1,<4", "mkdocs>=1.6; extra == 'docs'"]


@pytest.fixture
def installed(monkeypatch):
    """Versions of what is installed, in place of this environment's."""
    versions = {"numpy": "2.4.6", "Zarr": "3.1.5"}

    def version(name):
        if name not in versions:
            raise installation.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(installation, "version", version)
    monkeypatch.setattr(installation, "requires", lambda _: NEEDS)
    return versions


def test_an_old_python_is_wrong():
    """What is older than the package allows, and only that."""
    assert python((3, 10, 14)).state == WRONG and python().state == OK
    wanted = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert tuple(map(int, wanted.groups())) == installation.OLDEST


def test_libraries_are_compared(installed, tmp_path):
    """With what is required, extras left out, and with what was tested; a build is no version."""
    tested = tmp_path / "constraints.txt"
    tested.write_text("# tested\nnumpy==2.4.6\nzarr==3.1.5\nmkdocs==1.6.1\n")
    assert libraries(tested).state == OK
    installed["numpy"] = "2.4.6+local"
    assert libraries(tested).state == OK

    installed["numpy"] = "2.3.0"
    other = libraries(tested)
    assert other.state == WARNING and "numpy 2.3.0 (tested: 2.4.6)" in other.words
    installed["Zarr"] = "2.18.0"
    unfit = libraries(tested)
    assert unfit.state == WRONG and "Zarr 2.18.0 is not" in unfit.words
    del installed["Zarr"]
    lacking = libraries(None)
    assert lacking.state == WRONG and "Zarr not installed" in lacking.words and lacking.mend


def test_this_environment_has_all_that_is_required():
    """As the tests run in it; its versions may be newer than those of the file."""
    assert libraries(CONSTRAINTS).state in (OK, WARNING)


class Torch(SimpleNamespace):
    """A torch of some build, on a machine with some number of GPUs."""

    def __init__(self, cuda: str | None, there: bool) -> None:
        properties = SimpleNamespace(total_memory=16 * 2**30)
        super().__init__(
            __version__="2.13.0",
            version=SimpleNamespace(cuda=cuda, hip=None),
            cuda=SimpleNamespace(
                is_available=lambda: there,
                get_device_properties=lambda _: properties,
                get_device_name=lambda _: "Test GPU",
            ),
        )


@pytest.mark.parametrize(
    ("cuda", "there", "driver", "device", "elsewhere", "state", "says"),
    [
        (None, False, False, "cpu", False, OK, "built for no GPU"),
        ("12.8", True, True, "auto", False, OK, "Test GPU, 16 GiB"),
        ("12.8", True, True, "cpu", False, OK, "train.device=cpu leaves it alone"),
        (None, False, False, "cuda", False, WRONG, "no GPU is seen"),
        (None, False, False, "cuda", True, OK, "no GPU is seen"),
        (None, False, True, "auto", False, WARNING, "is there"),
        ("12.8", False, True, "auto", False, WARNING, "is there"),
    ],
)
def test_torch_and_gpu(monkeypatch, cuda, there, driver, device, elsewhere, state, says):
    """What the build can use, what is there, and what the stages ask for."""
    monkeypatch.setitem(sys.modules, "torch", Torch(cuda, there))
    monkeypatch.setattr(installation, "DRIVERS", (__file__,) if driver else ())

    check = torch_and_gpu({"train": device, "infer": "cpu"}, elsewhere)

    assert check.state == state and says in check.words
    assert bool(check.mend) == (state != OK)


def test_a_torch_that_cannot_be_imported_is_wrong(monkeypatch):
    """With the first line of why."""
    monkeypatch.setitem(sys.modules, "torch", None)
    check = torch_and_gpu({"train": "cpu"})
    assert check.state == WRONG and "cannot be imported" in check.words


@pytest.mark.parametrize("folder", [None, "/nowhere", "here"])
def test_no_home_is_no_trouble(monkeypatch, tmp_path, folder):
    """Nothing is written there, so it is told and not complained of."""
    if folder is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", str(tmp_path) if folder == "here" else folder)
    assert home().state == OK and "nothing is written into it" in home().words


def test_a_read_only_installation_is_told(monkeypatch):
    """Kernels are then compiled in each run's folder, as `caches` has them."""
    package = Path(installation.__file__).parents[1]
    monkeypatch.setattr(installation, "keeps_kernels", lambda: False)
    assert "each run compiles" in installation.installation(package).words
    monkeypatch.setattr(installation, "keeps_kernels", lambda: True)
    assert "kept in it" in installation.installation(package).words
