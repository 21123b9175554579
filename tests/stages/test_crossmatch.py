"""A catalogue beside another one: what was put in comes out, and the page needs nothing else."""

import re

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from repeated_catalogue import repeat

from hpcsbi.errors import BadInput
from hpcsbi.stages.crossmatch import crossmatch

ROWS, OFFSET = 60, 0.25


@pytest.fixture(scope="module")
def run(small_run, tmp_path_factory):
    """A catalogue, and somebody else's of most of its objects: heavier by OFFSET, one far off."""
    folder = tmp_path_factory.mktemp("crossmatch")
    repeat(small_run / "catalogue.zarr", folder / "catalogue.zarr", ROWS)
    ours = pd.read_parquet(folder / "catalogue.parquet")
    theirs = Table.from_pandas(ours[["key", "ra", "dec", "logmass_p50"]].iloc[::-1][:50])
    theirs["logmass_p50"] += OFFSET
    theirs["logmass_p50"][theirs["key"] == ours["key"][30]] += 40
    theirs["dec"] += 0.5 / 3600
    theirs["ERR"] = np.full(len(theirs), 0.1)
    theirs.rename_columns(["key", "ra", "logmass_p50"], ["NAME", "TARGET_RA", "LOGM"])
    theirs.write(folder / "vac.fits")
    return folder


def compared(run, other, by=None, columns=None, errors=None):
    crossmatch(
        str(run / "x.html"), str(run / "catalogue.zarr"), str(other), by, 1.0, columns or {},
        errors or {},
    )  # fmt: skip
    return (run / "x.html").read_text()


MASS = {"logmass_p50": "LOGM"}


@pytest.mark.parametrize(
    ("by", "columns", "count"),
    [
        ("position", MASS | {"ra": "TARGET_RA"}, 50 - 50 // 7),
        (None, MASS | {"key": "NAME"}, 50),
        ("key", MASS | {"key": "NAME"}, 50),
    ],
)
def test_what_was_put_in_comes_out(run, capsys, by, columns, count):
    """Offset and outlier, by name and by place; the order of rows is nothing."""
    html = compared(run, run / "vac.fits", by, columns, {"logmass_p50": "ERR"})
    key = pd.read_parquet(run / "catalogue.parquet")["key"][30]

    assert f"median difference -{OFFSET} " in capsys.readouterr().out
    number = int(re.search(r"<p>(\d+) objects are in both", html)[1])
    assert number == count or (by == "position" and abs(number - count) <= 1)
    rows = re.findall(r'<tr><td class="id">(.*?)</td>', html)
    assert rows[0] == key  # the one that is far off comes first
    assert ("0.50 arcseconds apart" in html) == (by == "position")


def test_two_of_ours_are_compared_in_all_medians(run):
    """A copy agrees to the last digit; the page loads nothing and is valid to its end."""
    some = ["key", "tage_p16", "tage_p50", "tage_p84", "tage_flow_p50", "logmass_p50"]
    pd.read_parquet(run / "catalogue.parquet")[some].to_parquet(run / "copy.parquet")
    html = compared(run, run / "copy.parquet")

    assert html.count("<figure") == 2 and "_flow_" not in html
    assert "log M/Msun formed" in html and "age [Gyr]" in html
    assert not re.search(r"(src|href)=\"(?!data:)", html) and html.rstrip().endswith("</html>")
    medians = re.findall(r'<td class="n">(\S+) \N{PLUS-MINUS SIGN}', html)
    assert {*medians} == {"0"}


@pytest.mark.parametrize(
    ("other", "by", "columns", "words"),
    [
        ("vac.fits", None, {}, "no median under a name of ours"),
        ("vac.fits", None, {"logmass_p50": "LOGMM"}, "did you mean LOGM"),
        ("vac.fits", None, {"mass": "LOGM"}, "has no column mass"),
        ("vac.fits", "id", MASS, "has no column id"),
        ("vac.fits", "position", MASS, r"has no ra: name them"),
        ("vac.fits", "key", MASS | {"key": "ERR"}, "no object in common by key"),
        ("vac.fits", "name", MASS, "choose from key, id, position"),
        ("catalogue.zarr/zarr.json", None, {}, "neither FITS nor Parquet"),
    ],
)
def test_wrong_input_names_the_mend(run, other, by, columns, words):
    """In a line, and no page is written."""
    (run / "x.html").unlink(missing_ok=True)
    with pytest.raises(BadInput, match=words):
        compared(run, run / other, by, columns)
    assert not (run / "x.html").exists()


def test_the_other_one_has_to_be_named(run):
    """Nothing is guessed."""
    with pytest.raises(BadInput, match=r"crossmatch\.other is null"):
        crossmatch(str(run / "x.html"), str(run / "catalogue.zarr"), None, None, 1.0, {}, {})
