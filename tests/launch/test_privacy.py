import os
import stat

import pytest

from hpcsbi.launch.privacy import keep_private


@pytest.mark.parametrize(
    ("mask", "mode"), [(0o027, 0o2750), (0o002, 0o2775), (0o077, 0o700), (0o022, 0o2755)]
)
def test_a_shared_folder_keeps_its_group(tmp_path, monkeypatch, mask, mode):
    """Its setgid bit goes on to what is made in it; a private one has none of its own."""
    for name in ("MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        monkeypatch.setenv(name, "x")
    project, before = tmp_path / "project", os.umask(0o077)
    try:
        project.mkdir()
        project.chmod(0o2775)
        keep_private(tmp_path / "own", mask)
        keep_private(project / "run", mask)
        (project / "run" / "store").mkdir()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == mode
    assert (project / "run" / "store").stat().st_mode & stat.S_ISGID
    assert stat.S_IMODE((project / "run").stat().st_mode) == mode | stat.S_ISGID
