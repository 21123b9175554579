"""A referee finds the released rows again, and whatever was changed."""

import csv
import shutil

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.release.checksums import write_checksums
from hpcsbi.run.referee_folder import referee_folder
from hpcsbi.stages.infer import infer
from hpcsbi.stages.release import release
from hpcsbi.stages.reproduce import reproduce
from hpcsbi.store.files import load_weights, save_weights
from hpcsbi.store.opening import open_store


@pytest.fixture(scope="module")
def made(small_run, tmp_path_factory):
    """A release with all three of its rows for a referee; without a certificate, which takes long.

    Each spectrum was inferred alone, and the referee's are inferred together.
    """
    folder = tmp_path_factory.mktemp("reproduce")
    flow, spectra = str(small_run / "flows" / "demo"), str(small_run / "spectra.zarr")
    catalogue = str(folder / "catalogue.zarr")
    infer(catalogue, flow, spectra, 400, 50, 0, False, 1, 0, Serial())
    release(str(folder / "release"), catalogue, ("parquet",), 0, 5, spectra, flow)
    return folder / "release"


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the referee's part that a test may change."""
    return referee_folder(shutil.copytree(made / "referee", tmp_path / "referee"))


@pytest.fixture
def elsewhere(monkeypatch):
    """This is another type of processor than the one that made the release."""
    monkeypatch.setattr("hpcsbi.stages.reproduce.machine_difference", lambda _: "another one")


def told(folder, tmp_path, capsys) -> tuple[bool, str]:
    """Verdict of a rerun, and its line."""
    write_checksums(folder.path)
    capsys.readouterr()
    agrees = reproduce(str(tmp_path / "again"), str(folder.path))
    return agrees, capsys.readouterr().out.splitlines()[-1]


def test_rows_are_found_again(made, tmp_path, capsys):
    """To the last bit what the release gave; beside the released rows by their Monte Carlo error.

    Its columns are in a file, the same when the command is given again.
    """
    assert reproduce(str(tmp_path / "again"), str(made))
    first = (tmp_path / "again" / "columns.csv").read_bytes()
    assert reproduce(str(tmp_path / "again"), str(made / "referee"))
    lines = capsys.readouterr().out.splitlines()
    rows = [*csv.DictReader((tmp_path / "again" / "columns.csv").open())]

    assert lines[-1] == "agrees" and any("to the last bit what" in line for line in lines)
    assert (tmp_path / "again" / "columns.csv").read_bytes() == first
    names = [*pd.read_parquet(made / "catalogue.parquet")]
    assert [row["name"] for row in rows] == names and {row["agrees"] for row in rows} == {"True"}


def test_a_changed_spectrum_is_found(folder, tmp_path, capsys, elsewhere):
    """Twice as bright, on another type of processor: mass and key are named."""
    store = open_store(folder.spectra)
    shard = {name: store.read(name) for name in store.sharded}
    shard["flux"][1] *= 2
    shard["ivar"][1] /= 4
    store.forget(0)
    store.write(0, **shard)
    agrees, line = told(folder, tmp_path, capsys)

    assert not agrees and line.startswith("does not agree: columns ")
    assert "logmass" in line and line.endswith(f"objects {shard['identity'][1, 3]}")


def test_another_flow_is_found(folder, tmp_path, capsys, request):
    """By last bits on the same type of processor; elsewhere where it moves posteriors enough."""
    perturb(folder.flow.weights, 1e-4)
    agrees, line = told(folder, tmp_path, capsys)
    assert not agrees and "other last bits on the same type of processor" in line

    request.getfixturevalue("elsewhere")
    shutil.rmtree(tmp_path / "again")
    assert told(folder, tmp_path, capsys)[0]
    perturb(folder.flow.weights, 5.0)
    shutil.rmtree(tmp_path / "again")
    assert not told(folder, tmp_path, capsys)[0]


def perturb(path, size):
    """Weights of a flow, each times about 1 + size."""
    tensors, header = load_weights(path)
    rng = np.random.default_rng(1)
    for name in tensors:
        if name.startswith("network") and tensors[name].dtype == np.float32:
            factor = 1 + size * rng.normal(size=tensors[name].shape)
            tensors[name] = (tensors[name] * factor).astype(np.float32)
    save_weights(path, tensors, header)


def test_an_edited_row_is_found(folder, tmp_path, capsys):
    """Objects and columns are named, and no other object."""
    table = pyarrow.parquet.read_table(folder.rows)
    frame = table.to_pandas()
    width = frame["tage_p84"][2] - frame["tage_p16"][2]
    for level in ("p16", "p50", "p84"):
        frame.loc[2, f"tage_{level}"] += width
    frame.loc[0, "zred"] += 1e-5
    edited = pyarrow.Table.from_pandas(frame, table.schema.remove_metadata(), preserve_index=False)
    pyarrow.parquet.write_table(edited, folder.rows)
    agrees, line = told(folder, tmp_path, capsys)

    assert not agrees and "tage_p50" in line and "zred" in line
    assert frame["key"][2] in line and frame["key"][0] in line and frame["key"][1] not in line


def test_files_that_are_not_those_of_the_list_are_refused(folder, tmp_path):
    """Before anything is inferred, in one line that names the file."""
    with folder.rows.open("ab") as file:
        file.write(b"x")

    with pytest.raises(BadInput, match=r"rows\.parquet .*not what SHA256SUMS says") as error:
        reproduce(str(tmp_path / "again"), str(folder.path))
    assert "\n" not in str(error.value) and not (tmp_path / "again").exists()


def test_a_release_without_rows_for_a_referee(tmp_path):
    """The option that makes them is told."""
    with pytest.raises(FileNotFoundError, match=r"release\.referee=20"):
        reproduce(str(tmp_path / "again"), str(tmp_path))
