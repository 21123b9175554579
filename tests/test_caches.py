import os
import tempfile
from pathlib import Path

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
