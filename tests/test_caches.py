import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from hpcsbi import caches


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Neither variable is set, and the folder for temporary files is the test's."""
    for name in ("MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        monkeypatch.setenv(name, "")  # so that it is put back, whoever sets it
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()


def test_caches_are_never_at_home(environment, tmp_path, monkeypatch):
    """In the run's folder where the installation is not to be written, else beside the code."""
    caches.keep_caches(tmp_path)
    beside = os.environ.get("NUMBA_CACHE_DIR")
    monkeypatch.setattr(caches.os, "access", lambda *_: False)
    caches.keep_caches(tmp_path)

    assert beside is None
    assert os.environ["NUMBA_CACHE_DIR"].startswith(str(tmp_path))
    assert os.environ["MPLCONFIGDIR"].startswith(str(tmp_path))


def test_commands_without_a_folder_share_one(environment, tmp_path, monkeypatch):
    """However many there are and however they end, one is left; children make none of their own."""
    for _ in range(2):
        monkeypatch.delenv("MPLCONFIGDIR", raising=False)
        caches.keep_caches(None)
    caches.keep_caches(None)
    (folder,) = (tmp_path / "tmp").iterdir()

    assert Path(os.environ["MPLCONFIGDIR"]).parent == folder
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trap", ["link", "open to others"])
def test_a_folder_that_somebody_else_made_is_not_taken(environment, tmp_path, trap):
    """Its name can be guessed, and what lies in it is code that is run."""
    folder = tmp_path / "tmp" / f"hpcsbi-{os.getuid()}"
    if trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    caches.keep_caches(None)

    taken = Path(os.environ["MPLCONFIGDIR"]).parent
    assert taken != folder and taken.stat().st_mode & 0o777 == 0o700


EMITTED = """
import numpy as np
from hpcsbi.kernels.attenuation import attenuate
old, out, none = np.ones((1, 3), "f4"), np.zeros((1, 3), "f4"), np.zeros((0, 3), "f4")
one, line = np.ones(1, "f4"), np.ones(3, "f4")
attenuate(old, none, one, 0 * one, one, line, 0 * line, 0 * line, line, np.zeros(2), out)
print(out[0, 0])
"""


@pytest.mark.parametrize("given", [True, False])
def test_compiled_code_is_of_the_sources_that_there_are(tmp_path, monkeypatch, given):
    """A caller is compiled anew when the file of what it calls changes, as by a new version."""
    package = tmp_path / "hpcsbi"
    for name in ("kernels", "__init__.py", "caches.py"):
        source = caches.KERNELS.parent / name
        if source.is_dir():
            shutil.copytree(source, package / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, package / name)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if given:
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))

    def emitted() -> float:
        run = subprocess.run(
            [sys.executable, "-c", EMITTED], cwd=tmp_path, check=True, capture_output=True
        )
        return float(run.stdout)

    before, again = emitted(), emitted()
    changed = package / "kernels" / "arithmetic.py"
    text, other = changed.read_text(), "out[p] = np.float32(2) * small_exp"
    assert "out[p] = small_exp" in text
    changed.write_text(text.replace("out[p] = small_exp", other))

    assert before == again == pytest.approx(np.exp(-1))
    assert emitted() == pytest.approx(2 * np.exp(-2))  # of a screen that is 2, not 1
    beside = list((package / "kernels" / "__pycache__").glob("kernels-*"))
    assert len(beside) == (not given)  # what no source asks for any more does not pile up
