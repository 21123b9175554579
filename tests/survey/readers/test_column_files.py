"""Parquet and .npz files: streamed, row by row where rows differ, shapes checked before a start."""

import gzip
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from survey_files import continuum

from hpcsbi.errors import BadInput
from hpcsbi.survey.geometry import groups
from hpcsbi.survey.readers.column_files import Npz, Parquet
from hpcsbi.survey.readers.formats import Survey, UnreadableError
from hpcsbi.survey.record.source import Source

WAVE = 3700 + 4.0 * np.arange(1500)
TABLE = Survey("table")


def columns(rows, wave=WAVE):
    """Columns whose rows can be told apart."""
    flux = continuum(wave) + np.arange(rows)[:, None]
    return {
        "id": [f"o{k}" for k in range(rows)],
        "zred": np.linspace(0.01, 0.2, rows),
        "wave": [wave] * rows,
        "flux": list(flux),
        "ivar": [np.full(len(wave), 4.0)] * rows,
    }


def write(path, rows, group=100, **changes):
    """A Parquet file with row groups of `group` rows."""
    table = pa.table({k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in
                      (columns(rows) | changes).items()})  # fmt: skip
    parquet.write_table(table, path, row_group_size=group)
    return Source(str(path), rows=rows)


def read(source, rows=None):
    """All blocks of some rows."""
    return list(TABLE.read(source, rows or slice(0, source.rows)))


def told(block):
    """Reasons of a block."""
    return groups(block)[1]


@pytest.mark.parametrize("group", [10_000, 7, 64])
def test_any_cut_of_the_rows_gives_the_same(group, tmp_path):
    """Blocks that begin anywhere, in any order, hold the rows that they name."""
    source = write(tmp_path / "own.parquet", 200, group)
    for start, stop in ((0, 200), (0, 1), (1, 66), (66, 67), (150, 200), (3, 9), (199, 200)):
        blocks = read(source, slice(start, stop))

        assert [n for b in blocks for n in b.id] == [f"o{k}" for k in range(start, stop)]
        found = np.concatenate([b.flux[:, 0] for b in blocks])
        np.testing.assert_allclose(found, continuum(WAVE[0]) + np.arange(start, stop))


@pytest.mark.parametrize("kind", ["fixed", "list", "large", "view", "float16", "int"])
def test_kinds_of_lists(kind, tmp_path):
    """Lists of fixed, variable and large length, views, short floats, integers, truth values."""
    flux = np.round(np.array(columns(5)["flux"]))
    made = {
        "fixed": lambda: pa.FixedSizeListArray.from_arrays(pa.array(flux.ravel()), len(WAVE)),
        "list": lambda: pa.array(list(flux)),
        "large": lambda: pa.array(list(flux), type=pa.large_list(pa.float32())),
        "view": lambda: pa.array(list(flux), type=pa.list_view(pa.float64())),
        "float16": lambda: pa.array(list(flux.astype(np.float16))),
        "int": lambda: pa.array(list(flux.astype(np.int32))),
    }[kind]()

    (block,) = read(write(tmp_path / "own.parquet", 5, flux=made))

    np.testing.assert_allclose(block.flux, flux)
    assert told(block) == [""] * 5


@pytest.mark.parametrize("kind", ["short", "null", "null pixels", "empty"])
def test_a_bad_row_costs_one_row(kind, tmp_path):
    """A shorter, missing or empty list, in a block or alone; a null pixel costs a pixel."""
    flux = columns(6)["flux"]
    flux[2] = {
        "short": flux[2][:-9], "null": None, "empty": [],
        "null pixels": [None, *flux[2][1:].tolist()],
    }[kind]  # fmt: skip

    (block,) = read(write(tmp_path / "own.parquet", 6, flux=flux))
    made, reasons = groups(block)

    assert block.id == [f"o{k}" for k in range(6)]
    bad = kind != "null pixels"
    assert [bool(reason) for reason in reasons] == [k == 2 and bad for k in range(6)]
    if not bad:
        assert np.isnan(made[0].flux[2, 0]) and np.isfinite(made[0].flux).sum() == 6 * 1500 - 1


def test_rows_of_different_lengths_are_read(tmp_path):
    """Spectra with as many pixels as they have, as SDSS's: no padding is needed."""
    waves = [WAVE[: 1500 - 10 * k] for k in range(4)]
    source = write(
        tmp_path / "own.parquet", 4, wave=waves, flux=[continuum(w) for w in waves],
        ivar=[np.ones(len(w)) for w in waves],
    )  # fmt: skip

    made, reasons = groups(read(source)[0])

    assert reasons == [""] * 4 and [len(group.wave) for group in made] == [1500, 1490, 1480, 1470]


def test_odd_ids_and_redshifts_cost_nothing_else(tmp_path):
    """A byte that is no text, an id and a redshift that are null: the row keeps what it has."""
    buffers = pa.array([b"a", b"b\xff", None, b"d"], type=pa.binary()).buffers()
    ids = pa.StringArray.from_buffers(4, buffers[1], buffers[2], buffers[0])
    zred = pa.array([0.1, None, 0.1, np.nan])

    (block,) = read(write(tmp_path / "own.parquet", 4, id=ids, zred=zred))

    assert block.id == ["a", "b\\xff", "own-2", "d"]
    np.testing.assert_allclose(block.zred, [0.1, np.nan, 0.1, np.nan])
    assert told(block) == [""] * 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": np.array([39627700000000011.0, 2, 3])}, "2\\^53"),
        ({"flux": np.ones(3)}, "not a list of numbers"),
        ({"zred": ["a", "b", "c"]}, "zred holds string"),
        ({"ivar": [["a"], ["b"], ["c"]]}, "ivar holds string"),
    ],
)
def test_columns_of_the_wrong_kind_are_refused(change, words, tmp_path):
    """Before anything starts, with the column's name."""
    source = write(tmp_path / "own.parquet", 3, **change)

    with pytest.raises(BadInput, match=words):
        TABLE.count(source)


def test_text_and_categories_are_ids(tmp_path):
    """Whole numbers above 2^53, text and categories come as they are."""
    large = [39627700000000011, 39627700000000012]
    for ids, expected in (
        (pa.array(large), [str(each) for each in large]),
        (pa.array([" a ", "b"]).dictionary_encode(), ["a", "b"]),
    ):
        assert read(write(tmp_path / "own.parquet", 2, id=ids))[0].id == expected


def test_going_on_unpacks_nothing_twice(tmp_path):
    """The next block goes on where the last ended, inside one large row group."""
    source = write(tmp_path / "own.parquet", 300, 10_000)
    file = Parquet(tmp_path / "own.parquet", TABLE.flux_unit, "own")
    began = []
    start = file._file.iter_batches
    file._file = type("Spy", (), {
        "iter_batches": lambda _, *a, **k: began.append(a[1]) or start(*a, **k),
        "num_row_groups": 1,
    })()  # fmt: skip
    for at in range(0, 300, 50):
        file.read(slice(at, at + 50))
    assert len(began) == 1
    file.read(slice(0, 10))
    assert len(began) == 2 and source.rows == 300


def test_columns_that_are_not_read_are_named(tmp_path):
    """A mask in a column of its own is not used: the scan says so."""
    source = write(tmp_path / "own.parquet", 2, mask=[[0], [1]])
    np.savez(tmp_path / "own.npz", **npz(2), mask=np.zeros(2))

    assert TABLE.look(source) == (2, ["columns mask are not read"])
    assert TABLE.look(Source(str(tmp_path / "own.npz"))) == (2, ["columns mask are not read"])


def npz(rows):
    """Arrays for numpy.savez."""
    made = columns(rows)
    return {k: np.array(v) for k, v in made.items()} | {"wave": WAVE}


CHANGES = {
    "id has shape \\(2,\\)": {"id": np.array(["a", "b"])},
    "ivar has shape \\(1500,\\)": {"ivar": np.ones(1500)},
    "flux \\(1, 1500\\)": {"flux": np.ones((1, 1500))},
    "flux has shape \\(1500,\\)": {"flux": np.ones(1500), "ivar": np.ones(1500)},
    "zred has shape \\(\\)": {"zred": 0.1},
    "zred has shape \\(4,\\)": {"zred": np.full(4, 0.1)},
    "wave has shape \\(1499,\\)": {"wave": WAVE[1:]},
    "wave has shape \\(1, 1500\\)": {"wave": WAVE[None]},
    "ebv has shape \\(2,\\)": {"ebv": np.zeros(2)},
    "2\\^53": {"id": np.array([1.0, 2.0, 3.0])},
    "allow_pickle": {"flux": np.array([np.ones(3), np.ones(2), None], dtype=object)},
    "not numbers": {"zred": np.array(["a", "b", "c"])},
}


@pytest.mark.parametrize("words", list(CHANGES))
def test_arrays_that_do_not_fit_are_refused(words, tmp_path):
    """One line with the array's name and what it should be, before anything starts."""
    path = tmp_path / "own.npz"
    np.savez(path, **(npz(3) | CHANGES[words]))

    with pytest.raises(BadInput, match=words):
        TABLE.count(Source(str(path)))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("change", [{}, {"order": "F"}, {"dtype": ">f4"}, {"dtype": "f2"}])
def test_arrays_come_back_whatever_their_layout(save, change, tmp_path):
    """Columns first, big-endian and short floats, mapped or compressed, from any row."""
    arrays = npz(130)
    kept = {"flux": np.array(arrays["flux"], **change)}
    save(tmp_path / "own.npz", **(arrays | kept))

    blocks = read(Source(str(tmp_path / "own.npz"), rows=130), slice(65, 130))

    np.testing.assert_array_equal(
        np.concatenate([block.flux for block in blocks]), kept["flux"][65:].astype(float)
    )
    assert blocks[-1].id[-1] == "o129"


def test_plain_arrays_are_mapped(tmp_path):
    """A large file takes the memory of a block; a compressed one is unpacked once."""
    np.savez(tmp_path / "own.npz", **npz(4))

    file = Npz(tmp_path / "own.npz", TABLE.flux_unit, "own")

    assert all(isinstance(file._arrays[name], np.memmap) for name in ("wave", "flux", "ivar"))


@pytest.mark.parametrize("name", ["own.npz", "own.parquet"])
def test_compressed_and_misnamed_files(name, tmp_path):
    """What a file is, is told by its first bytes."""
    if name == "own.npz":
        np.savez(tmp_path / name, **npz(3))
    else:
        write(tmp_path / name, 3)
    for other in (f"{name}.gz", "plain.dat", "OWN.FITS"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / other).write_bytes(gzip.compress(content) if other != "OWN.FITS" else content)
        source = Source(str(tmp_path / other), rows=3)

        assert TABLE.count(source) == 3
        assert read(source)[0].id == ["o0", "o1", "o2"]


def test_threads_do_not_share_a_place(tmp_path):
    """Two threads of one process read one file at different places."""
    source, found = write(tmp_path / "own.parquet", 256, 10_000), {}

    def work(first):
        found[first] = [n for b in read(source, slice(first, first + 128)) for n in b.id]

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 128)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {k: [f"o{i}" for i in range(k, k + 128)] for k in (0, 128)}


def spoilt(raw: bytes, place: int, bits: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ bits]) + raw[place + 1 :]


@pytest.mark.parametrize("kind", ["stored.npz", "packed.npz", "own.parquet"])
def test_any_byte_of_a_file_may_be_wrong(kind, tmp_path):
    """It is read, or refused in a line with its name, and no library's own error comes through."""
    path = tmp_path / kind
    if kind == "own.parquet":
        write(path, 3)
    else:
        (np.savez if kind == "stored.npz" else np.savez_compressed)(path, **npz(3))
    raw, refused = path.read_bytes(), 0
    places = [*range(0, 400, 7), *range(len(raw) - 1800, len(raw), 7)]

    for place, bits in ((place, bits) for place in places for bits in (1, 255)):
        path.write_bytes(spoilt(raw, place, bits))
        try:
            rows, _ = TABLE.look(Source(str(path)))
            read(Source(str(path), rows=min(rows, 9)))
        except BadInput as error:
            refused += 1
            assert kind in str(error) and "\n" not in str(error)
    assert refused > 20


def test_a_locked_archive_and_an_unknown_packing_are_named(tmp_path):
    """Of a password, and of a way to pack that Python has not, the file and the reason are told."""
    path = tmp_path / "own.npz"
    np.savez(path, **npz(3))
    raw = path.read_bytes()
    entry = raw.index(b"PK\1\2")  # of the first array, in the list of contents

    path.write_bytes(spoilt(raw, entry + 8, 1))
    with pytest.raises(BadInput, match=r"own\.npz: survey=table: \w+ is locked with a password"):
        TABLE.look(Source(str(path)))
    path.write_bytes(spoilt(raw, entry + 10, 99))
    with pytest.raises(BadInput, match=r"own\.npz: survey=table: .*compression"):
        TABLE.look(Source(str(path)))


def test_a_table_shorter_than_its_footer_is_damaged(tmp_path, monkeypatch):
    """Rows that the footer promises and that do not come are no end of the file."""
    source = write(tmp_path / "own.parquet", 6)
    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", lambda *_, **__: iter(()))

    with pytest.raises(UnreadableError, match="fewer rows than its footer says"):
        read(source)


@pytest.mark.parametrize("suffix", ["parquet", "npz"])
def test_columns_say_who_a_row_is(suffix, tmp_path):
    """Places, survey, program and keys as they stand; a row without a key has file and number."""
    who = {"ra": [10.0, 20.0], "dec": [-5.0, 5.0], "survey": ["one", ""], "key": ["a-1", ""]}
    if suffix == "parquet":
        source = write(tmp_path / "own.parquet", 2, **who)
    else:
        arrays = columns(2) | who | {"wave": WAVE}
        np.savez(tmp_path / "own.npz", **{k: np.array(v) for k, v in arrays.items()})
        source = Source(str(tmp_path / "own.npz"), rows=2)
    (block,) = read(source)

    identity = block.identity.columns("table", "own", 0)
    assert identity["identity"][:, 0].tolist() == ["one", "table"]
    assert block.identity.key == TABLE.look_with_keys(source)[2] == ["a-1", "own-1"]
    assert identity["position"].tolist() == [[10.0, -5.0], [20.0, 5.0]]
    assert TABLE.look(source)[1] == []


@pytest.mark.parametrize("suffix", ["parquet", "npz"])
def test_keys_that_are_floats_are_refused(suffix, tmp_path):
    """As ids are, and for the same reason."""
    arrays = columns(1) | {"key": [1.0]}
    if suffix == "parquet":
        source = write(tmp_path / "own.parquet", 1, key=[1.0])
    else:
        np.savez(tmp_path / "own.npz", **{k: np.array(v) for k, v in arrays.items()})
        source = Source(str(tmp_path / "own.npz"))
    with pytest.raises(BadInput, match="key holds floats"):
        TABLE.look(source)
