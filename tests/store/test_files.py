import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from safetensors.numpy import save_file as save

from hpcsbi.store import files
from hpcsbi.store.files import Damaged


def test_weights_and_settings_come_back(tmp_path):
    """Tensors to the bit and settings in their order; a cut file is an error of ours."""
    path = tmp_path / "flow.safetensors"
    tensors = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array([7])}
    settings = {"columns": {"tau": 1, "dust2": 2, "age": 3}}

    files.save_weights(path, tensors, settings)
    found, header = files.load_weights(path)

    assert all(np.array_equal(found[name], values) for name, values in tensors.items())
    assert list(header["columns"]) == ["tau", "dust2", "age"]
    assert list(files.load_header(path)["columns"]) == ["tau", "dust2", "age"]
    os.truncate(path, 60)
    assert files.load_header(path) is files.load_header(tmp_path / "absent.safetensors") is None
    with pytest.raises(Damaged, match="flow"):
        files.load_weights(path)


def test_notes_are_lines_of_json(tmp_path):
    """Whole objects with the keys come back in order; all other lines are counted."""
    path = tmp_path / "costs.jsonl"
    path.write_text('{"stage": "train", "rows": 1}\n["no note"]\n{"stage": "x"}\n{"stage": "tra')

    assert files.read_notes(path, ("stage", "rows")) == ([{"stage": "train", "rows": 1}], 3)
    assert files.read_notes(tmp_path / "absent.jsonl") == ([], 0)


def test_parquet_holds_columns_and_header(tmp_path):
    """The catalogue opens in pandas, and says what it must not be used for."""
    path = tmp_path / "c.parquet"
    files.write_parquet(
        path,
        {"id": np.array(["a", "b"], dtype=object), "x_p50": np.array([1.0, np.nan])},
        {"notice": "not for science"},
    )

    table = pd.read_parquet(path)
    assert table["id"].tolist() == ["a", "b"]
    assert np.isnan(table["x_p50"][1])
    assert pyarrow.parquet.read_schema(path).metadata[b"notice"] == b"not for science"
    assert table.attrs == {"notice": "not for science"}


def test_parquet_takes_a_block_at_a_time(tmp_path, monkeypatch):
    """Columns are asked for a few rows at once, and come back whole; a failure leaves nothing."""
    monkeypatch.setattr(files, "BLOCK", 10)
    asked = []

    class Column:
        def __init__(self, values):
            self.values = values

        def __len__(self):
            return len(self.values)

        def __getitem__(self, rows):
            asked.append(rows.stop - rows.start)
            return self.values[rows]

    names = np.array(["", *map(str, range(24))], dtype=np.dtypes.StringDType())
    columns = {"id": Column(names), "x": Column(np.arange(25.0)), "good": Column(np.arange(25) > 3)}
    path = tmp_path / "c.parquet"
    files.write_parquet(path, columns, {"notice": "n"})

    table = pd.read_parquet(path)
    assert table["id"].tolist() == names.tolist() and table["good"].sum() == 21
    assert np.array_equal(table["x"], np.arange(25.0)) and max(asked) == 10
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 3
    assert files.read_parquet_header(path)["notice"] == "n"
    before = path.read_bytes()
    with pytest.raises(ValueError, match="length"):
        files.write_parquet(path, columns | {"short": np.arange(12)}, {})
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == [path.name]
    path.write_bytes(before[:-5])
    assert files.read_parquet_header(path) == {}
    assert files.read_parquet_header(tmp_path / "none.parquet") == {}


def test_a_file_is_whole_or_not_there(tmp_path):
    """A file is replaced in one step, and its folder is made; nothing half is left."""
    path = tmp_path / "new" / "a.json"

    files.write_atomically(path, b"1")
    files.write_atomically(path, b"22")

    assert path.read_bytes() == b"22"
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_a_changed_bit_of_the_weights_is_seen(tmp_path):
    """Weights and settings have a checksum: a bit anywhere in them is damage, not another flow."""
    path = tmp_path / "flow.safetensors"
    files.save_weights(path, {"w": np.arange(40, dtype=np.float32)}, {"steps": 12})
    raw = path.read_bytes()
    assert files.load_weights(path)[1] == {"steps": 12}
    for place in (raw.index(b"steps"), len(raw) - 3, len(raw) - 100):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(Damaged, match="checksum"):
            files.load_weights(path)


@pytest.mark.parametrize("settings", ["[1]", "7", '"x"', "null", "{}"])
def test_a_header_of_another_kind_is_damage(tmp_path, settings):
    """A safetensors file of somebody else, or of another version, is refused by its name."""
    path = tmp_path / "flow.safetensors"
    save({"w": np.zeros(3)}, path, metadata={"settings": settings})

    with pytest.raises(Damaged, match=r"flow\.safetensors is damaged"):
        files.load_weights(path)
    assert files.load_header(path) == ({} if settings == "{}" else None)
    save({"w": np.zeros(3)}, path)
    with pytest.raises(Damaged, match=r"flow\.safetensors is damaged"):
        files.load_weights(path)


@pytest.mark.parametrize("content", [b"", b"[1]", b"7", b"\xff", b'{"a": '])
def test_an_object_is_read_whole_or_refused(tmp_path, content):
    """Anything else than keys and values is damage, and no reader's own error."""
    path = tmp_path / "job.json"
    path.write_bytes(b'{"stage": "train"}')
    assert files.read_object(path) == {"stage": "train"}

    path.write_bytes(content)

    with pytest.raises(Damaged, match=r"job\.json is damaged .*: remove it"):
        files.read_object(path)


def test_any_byte_of_a_parquet_file_may_be_wrong(tmp_path):
    """Its header is then another one or none, and no error of arrow's comes through."""
    path = tmp_path / "c.parquet"
    files.write_parquet(path, {"x": np.arange(3.0)}, {"notice": "n"})
    whole = path.read_bytes()

    for place in range(len(whole) // 2, len(whole)):
        path.write_bytes(whole[:place] + b"\xfe" + whole[place + 1 :])
        assert isinstance(files.read_parquet_header(path), dict)
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        files.read_parquet_header(path)
    assert caught.value.filename == str(path)


def put(args) -> int:
    """Writes that came out mixed, cut or lost; on a node where this process has number 7."""
    path, byte = args
    os.getpid = lambda: 7
    bad = 0
    for _ in range(40):
        try:
            files.write_atomically(path, bytes([byte]) * 1_000_000)
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        bad += len(content) != 1_000_000 or len(set(content)) != 1
    return bad


def test_two_nodes_may_have_one_number_of_process(tmp_path):
    """Writers of one file on two nodes do not share a temporary name."""
    with multiprocessing.Pool(2) as pool:
        assert pool.map(put, [(tmp_path / "a.json", 65), (tmp_path / "a.json", 66)]) == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_leftovers_are_swept_by_age(tmp_path):
    """Half a file of long ago goes; one that may still be written, or is another's, stays."""
    old, new, other = (tmp_path / name for name in ("a.x.partial", "a.y.partial", "b.x.partial"))
    for half, age in ((old, 10_000), (new, 0), (other, 10_000)):
        half.write_text("")
        os.utime(half, (time.time() - age,) * 2)

    files.sweep(tmp_path, "a.")

    assert set(tmp_path.iterdir()) == {new, other}


def test_notes_of_several_jobs_do_not_meet(tmp_path, monkeypatch):
    """A job has a file of its own, and a reader sees all."""
    path = tmp_path / "rates.jsonl"
    for job in (None, "7", "8"):
        if job:
            monkeypatch.setenv("SLURM_JOB_ID", job)
        files.append_line(path, {"job": job})

    notes, broken = files.read_notes(path, ("job",))

    assert sorted(note["job"] or "" for note in notes) == ["", "7", "8"] and broken == 0
    assert len(path.read_text().splitlines()) == 1


def test_what_another_machine_has_just_made_is_there(tmp_path, monkeypatch):
    """A client of NFS remembers that a name was not there until it changes the folder itself."""
    real, absent, make = Path.exists, set(), files.NamedTemporaryFile

    def exists(path):
        if not real(path):
            absent.add(path)
        return path not in absent

    def change(**options):
        absent.clear()
        return make(**options)

    monkeypatch.setattr(Path, "exists", exists)
    monkeypatch.setattr(files, "NamedTemporaryFile", change)
    path = tmp_path / "simulations.zarr"
    assert not files.there(path) and not path.exists()
    path.mkdir()

    assert not path.exists()
    assert files.there(path)
    assert not files.there(tmp_path / "no" / "folder")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
