"""A catalogue as a table of pandas."""

import pandas as pd
import pytest

import hpcsbi
from hpcsbi.flags import MEANINGS, Flag


def test_a_catalogue_by_its_run_or_its_file(small_run):
    """The same table, with notice and legend beside it."""
    of_run = hpcsbi.load_catalogue(small_run)

    pd.testing.assert_frame_equal(of_run, hpcsbi.load_catalogue(small_run / "catalogue.parquet"))
    assert of_run["id"].tolist() == ["NGC 3073", "NGC 3522", "NGC 4636"]
    assert "not for science" in of_run.attrs["notice"] and "EDGE: " in of_run.attrs["flags"]


def test_what_is_no_catalogue_is_refused(small_run, tmp_path):
    """By its name, with what makes one."""
    with pytest.raises(FileNotFoundError, match=r"catalogue\.parquet does not exist: run jobs/inf"):
        hpcsbi.load_catalogue(tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(hpcsbi.BadInput, match=r"other\.parquet is no catalogue"):
        hpcsbi.load_catalogue(tmp_path / "other.parquet")


def test_flags_in_words():
    """Every flag has its meaning; bits that none has are refused."""
    assert hpcsbi.flags_in_words(0) == {}
    both = hpcsbi.flags_in_words(Flag.EDGE | Flag.AGN)
    assert both == {flag.name: MEANINGS[flag] for flag in (Flag.AGN, Flag.EDGE)}
    for wrong in (1 << 31, -1):
        with pytest.raises(hpcsbi.BadInput, match="no flag has the bits"):
            hpcsbi.flags_in_words(wrong)
