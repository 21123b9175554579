"""Files of ids and redshifts: what is read, and what is refused in one line."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from astropy.io import fits
from survey_files import write

from hpcsbi.errors import BadInput
from hpcsbi.survey.object_lists import read_ids, read_lists, read_redshifts

IDS = ["0266-51602-0001", "007", "galaxy 2"]
ZRED = [0.05, -0.001, 3.1484]
DISTANCE = [np.nan, 16.5, np.nan]


def to_file(path, **columns):
    """A table in the format of its name."""
    if path.suffix == ".parquet":
        parquet.write_table(pa.table(columns), path)
    elif path.suffix == ".csv":
        rows = zip(*columns.values(), strict=True)
        lines = [",".join("" if v != v else str(v) for v in row) for row in rows]
        path.write_text("\n".join([",".join(columns), *lines]) + "\n")
    else:
        forms = {"id": "20A", "name": "20A"}
        made = [fits.Column(n.upper(), forms.get(n, "D"), array=v) for n, v in columns.items()]
        write(path, fits.BinTableHDU.from_columns(made))
    return path


@pytest.mark.parametrize("name", ["z.parquet", "z.csv", "z.fits"])
def test_redshifts_are_the_same_from_every_format(name, tmp_path):
    """Text stays text: no date, no number without its zeros; an empty distance is none."""
    path = to_file(tmp_path / name, id=IDS, zred=ZRED, distance=DISTANCE, other=[1.0, 2.0, 3.0])

    given = read_redshifts(path)

    assert list(given.id) == IDS
    np.testing.assert_array_equal(given.zred, ZRED)
    np.testing.assert_array_equal(given.distance, DISTANCE)
    assert read_ids(path) == IDS


def test_a_table_without_distances_and_with_integers(tmp_path):
    """TARGETIDs keep every digit."""
    path = to_file(tmp_path / "z.parquet", id=[39_627_700_000_000_011], zred=[1])

    given = read_redshifts(path)

    assert given.id == ["39627700000000011"] and given.zred.tolist() == [1.0]
    assert np.isnan(given.distance).all()


def test_compressed_tables_are_read(tmp_path):
    """As survey files are."""
    path = to_file(tmp_path / "z.csv", id=IDS, zred=ZRED)
    packed = tmp_path / "z.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))

    assert list(read_redshifts(packed).id) == IDS


def test_ids_one_a_line(tmp_path):
    """Blank lines and blanks around names are nothing."""
    path = tmp_path / "ids.txt"
    path.write_text("0266-51602-0001\n\n  007 \r\ngalaxy 2")

    assert read_ids(path) == IDS


WRONG = {
    "no column zred": {"id": IDS},
    "no column id": {"name": IDS, "zred": ZRED},
    "no rows": {"id": [], "zred": []},
    "come more than once, '007' first": {"id": ["007", "b", "007"], "zred": ZRED},
    "row 2 has no id": {"id": ["a", "", "b"], "zred": ZRED},
    "zred of '007' is nan": {"id": IDS, "zred": [0.1, np.nan, 0.2]},
    "zred of '007' is inf": {"id": IDS, "zred": [0.1, np.inf, 0.2]},
    "distance of '007' is -1": {"id": IDS, "zred": ZRED, "distance": [np.nan, -1.0, 3.0]},
}


@pytest.mark.parametrize("name", ["z.parquet", "z.csv", "z.fits"])
@pytest.mark.parametrize("words", WRONG)
def test_tables_of_other_contents_are_refused(name, words, tmp_path):
    """One line with the file, the object and what is wrong with it."""
    path = to_file(tmp_path / name, **WRONG[words])

    with pytest.raises(BadInput, match=words) as caught:
        read_redshifts(path)

    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_ids, read_redshifts])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1"), ("a.fits", b"SIMPLE  =                    T"), ("a.csv", b""),
        ("a.csv.gz", gzip.compress(b"id,zred\na,1\n" * 999)[:-20]), ("a.npz", b"PK\x03\x04"),
        ("a.csv", b"id,zred\na,1\nb\n"), ("a.bin", b"\xff\xfe\x00\x01" * 9),
    ],
    ids=["parquet", "fits", "empty", "cut", "npz", "ragged", "foreign"],
)  # fmt: skip
def test_damaged_files_are_refused(read, name, content, tmp_path):
    """Cut, empty, foreign or ragged: one line each."""
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(BadInput, match=name) as caught:
        read(path)

    assert "\n" not in str(caught.value)


def test_a_number_that_is_none_is_told(tmp_path):
    """With its row, by the parser."""
    path = to_file(tmp_path / "z.csv", id=IDS, zred=[0.1, "high", 0.3])

    with pytest.raises(BadInput, match="high"):
        read_redshifts(path)


@pytest.mark.parametrize("read", [read_ids, read_redshifts])
def test_a_file_that_is_not_there(read, tmp_path):
    """Nor a folder."""
    for path in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"ingest\.(ids|redshifts)"):
            read(path)


def test_floats_are_no_ids(tmp_path):
    """In either format that knows types."""
    parquet.write_table(pa.table({"id": [1.0], "zred": [0.1]}), tmp_path / "z.parquet")
    made = [fits.Column(n, "D", array=[1.0]) for n in ("ID", "ZRED")]
    write(tmp_path / "z.fits", fits.BinTableHDU.from_columns(made))

    for name in ("z.parquet", "z.fits"):
        with pytest.raises(BadInput, match="floats"):
            read_redshifts(tmp_path / name)


def test_settings_go_by_contents(tmp_path):
    """Not by name; without files there are none."""
    one = to_file(tmp_path / "one.csv", id=IDS, zred=ZRED)
    two = to_file(tmp_path / "two.csv", id=IDS, zred=ZRED)
    other = to_file(tmp_path / "other.csv", id=IDS, zred=[0.05, -0.001, 3.1485])

    assert read_lists(one, None).settings == read_lists(two, None).settings
    assert read_lists(one, None).settings != read_lists(other, None).settings
    assert read_lists(None, one).settings.keys() == {"ids"}
    assert not read_lists(None, None).settings and read_lists(None, None).names is None
    assert read_lists(one, two).names == set(IDS)
