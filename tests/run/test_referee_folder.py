"""The folder for a referee is in that of a release, or is named itself."""

import pytest

from hpcsbi.run.referee_folder import referee_folder


def test_by_the_release_and_by_itself(tmp_path):
    """One that is there; else the option that makes it is told."""
    with pytest.raises(FileNotFoundError, match=r"release\.referee=20"):
        referee_folder(tmp_path)
    (tmp_path / "referee").mkdir()
    (tmp_path / "referee" / "settings.json").write_text("{}")

    assert referee_folder(tmp_path) == referee_folder(str(tmp_path / "referee"))
    assert referee_folder(tmp_path).flow.table == tmp_path / "referee" / "flow" / "ssp.zarr"
