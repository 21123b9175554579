import os

from hpcsbi import caches


def test_caches_are_never_at_home(tmp_path, monkeypatch):
    """In the run's folder where the installation is not to be written, else beside the code."""
    for name in ("MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    caches.keep_caches(tmp_path)
    beside = os.environ.get("NUMBA_CACHE_DIR")
    monkeypatch.setattr(caches.os, "access", lambda *_: False)
    caches.keep_caches(tmp_path)

    assert beside is None
    assert os.environ["NUMBA_CACHE_DIR"].startswith(str(tmp_path))
    assert os.environ["MPLCONFIGDIR"].startswith(str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR")  # set behind the back of monkeypatch
    monkeypatch.delenv("MPLCONFIGDIR")
