"""catalogue.parquet follows from the stores that are there, whoever writes it and when."""

import json
import shutil
import threading
import time

import numpy as np
import pandas as pd
import pytest

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.inference.columns.observed_lines import OBSERVED
from hpcsbi.inference.columns.row_checks import P_VALUES
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.run import catalogue as module
from hpcsbi.run.catalogue import write_catalogue
from hpcsbi.run.merges import CATALOGUE, is_behind
from hpcsbi.run.progress import work_left
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.status import status
from hpcsbi.store import files
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import Incomplete, create

ROWS, NAMES = 23, ("tage", "tau")
QUANTITY = "av"
COLUMNS = [f"{name}_{level}" for name in NAMES for level in QUANTILES]
SHARES = [f"{name}_prior_share" for name in NAMES]
DERIVED = [*(f"{QUANTITY}_{level}" for level in QUANTILES), f"{QUANTITY}_prior_share"]
BY_LEVEL = {"level": len(QUANTILES), "parameter": len(NAMES)}
OF_BOTH = {
    "quantiles": BY_LEVEL,
    "prior_share": {"parameter": len(NAMES)},
    "derived_quantiles": {"level": len(QUANTILES), "quantity": 1},
    "derived_prior_share": {"quantity": 1},
    **{name: {"blend": 1} for name in OBSERVED},
}
LINES = {"line_excess": {"moment": 2, "line_group": 1}}
PRIOR = Prior({name: {"low": 0.1, "high": 10} for name in NAMES})
MODEL = {
    "flow": {"training": {"simulations": Model(PRIOR, Grid(), Physics()).settings()}},
    "spectra": {"survey": "test"},
}


def catalogue(folder, rows=ROWS, lines=False, **settings):
    """A catalogue without chains, all of it weak; maybe with the excess of lines."""
    row, of_both = {"row": rows}, OF_BOTH | (LINES if lines else {})
    arrays = {
        "id": Array(row, "string"),
        "flags": Array(row, "int32"),
        "origin": Array(row, "string"),
        **{name: Array(row | dims, "float32") for name, dims in of_both.items()},
        "samples": Array(row | {"draw": 2}, "float32"),
        "parameter": Array({"parameter": len(NAMES)}, "string", values=np.array(NAMES)),
        "quantity": Array({"quantity": 1}, "string", values=np.array([QUANTITY])),
        "blend": Array({"blend": 1}, "string", values=np.array(["hbeta"])),
        "line_group": Array({"line_group": 1}, "string", values=np.array(["oii"])),
    } | {name: Array(row, "float32") for name in ("chi2", *P_VALUES)}
    store = create(folder / "catalogue.zarr", arrays, MODEL | settings, 5, {"notice": "n"})
    for shard in store.shards:
        n = len(range(*store.rows_of(shard).indices(rows)))
        text = {"id": np.array([f"g{shard}.{i}" for i in range(n)]), "origin": np.full(n, "flow")}
        flags = np.full(n, int(Flag.WEAK_WEIGHTS), np.int32)
        numbers = {name: np.zeros(n) for name in ("chi2", *P_VALUES)}
        numbers |= {name: np.zeros((n, *dims.values())) for name, dims in of_both.items()}
        store.write(shard, flags=flags, samples=np.zeros((n, 2)), **text, **numbers)
    return store


def fits(
    path, objects, value=1.0, steps=100, done=None, into="catalogue.zarr", without="", lines=False,
    **settings,
):  # fmt: skip
    """Chains of some spectra; the last one has not converged."""
    n = len(objects)
    row = {"row": n}
    of_both = OF_BOTH | (LINES if lines else {})
    of_both = {name: dims for name, dims in of_both.items() if name != without}
    arrays = {
        "spectrum": Array(row, "int64"),
        "converged": Array(row, "bool"),
        "n_steps": Array(row, "int32"),
        "flags": Array(row, "int32"),
        **{name: Array(row, "float32") for name in ("chi2", *P_VALUES)},
        **{name: Array(row | dims, "float32") for name, dims in of_both.items()},
    }
    store = create(path, arrays, MODEL | settings, 1, {CATALOGUE: into})
    for shard in store.shards if done is None else done:
        store.write(
            shard, spectrum=[objects[shard]], converged=[shard < n - 1], n_steps=[steps],
            flags=[int(Flag.EDGE)], **{name: [value] for name in ("chi2", *P_VALUES)},
            **{name: np.full((1, *dims.values()), value) for name, dims in of_both.items()},
        )  # fmt: skip
    return store


def table(folder):
    return pd.read_parquet(folder / "catalogue.parquet")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(files, "BLOCK", 4)


def test_chains_are_in_the_table_whoever_writes_it_last(tmp_path):
    """Again and again, before and after the chains: equal bytes, and nothing forgotten."""
    store = catalogue(tmp_path)
    write_catalogue(store.path)
    assert (table(tmp_path)["origin"] == "flow").all()
    fits(tmp_path / "fits.zarr", [4, 17, 20])
    write_catalogue(store.path)
    first = (tmp_path / "catalogue.parquet").read_bytes()
    write_catalogue(store.path)
    (tmp_path / "catalogue.parquet").unlink()
    write_catalogue(store.path)

    assert (tmp_path / "catalogue.parquet").read_bytes() == first
    found = table(tmp_path)
    assert np.flatnonzero(found["origin"] == "mcmc").tolist() == [4, 17]
    assert found["flags"].tolist() == [
        int(Flag.EDGE if row in (4, 17) else Flag.WEAK_WEIGHTS) for row in range(ROWS)
    ]
    assert np.flatnonzero(found["tau_p16"] == 1).tolist() == [4, 17]
    assert found["id"].tolist() == store.read("id").tolist()
    for name in ("tau_prior_share", "av_p50", "av_prior_share"):
        assert np.flatnonzero(found[name] == 1).tolist() == [4, 17], name
    lines = [f"observed_hbeta_{what}" for what in ("luminosity", "luminosity_error", "ew")]
    assert np.flatnonzero(found["observed_hbeta_ew"] == 1).tolist() == [4, 17]
    after = [*SHARES, *DERIVED, *lines, "chi2", *P_VALUES]
    assert found.columns.tolist() == ["id", "flags", "origin", *COLUMNS, *after]


def test_excess_of_lines_is_that_of_the_chain(tmp_path, capsys):
    """As all that is of a posterior; chains that do not tell it are left out."""
    store = catalogue(tmp_path, lines=True)
    fits(tmp_path / "fits.zarr", [4, 17, 20], lines=True)
    write_catalogue(store.path)
    for name in ("line_excess_oii", "line_excess_oii_error"):
        assert np.flatnonzero(table(tmp_path)[name] == 1).tolist() == [4, 17]
    assert not capsys.readouterr().out

    fits(tmp_path / "older.zarr", [5, 20])
    (tmp_path / "catalogue.parquet").unlink()
    write_catalogue(store.path)
    assert "without line_excess" in capsys.readouterr().out
    assert np.flatnonzero(table(tmp_path)["origin"] == "mcmc").tolist() == [4, 17]


def test_chains_without_derived_quantities_are_told(tmp_path, capsys):
    """An older version made them: nothing of a row may come from two posteriors."""
    store = catalogue(tmp_path)
    fits(tmp_path / "fits.zarr", [4, 17, 20], without="derived_quantiles")

    write_catalogue(store.path)

    assert (table(tmp_path)["origin"] == "flow").all()
    assert "fits.zarr is not merged, an older version made it" in capsys.readouterr().out


def test_chains_of_before_the_catalogue_count(tmp_path):
    """fit with named objects may come first."""
    fits(tmp_path / "fits.zarr", [4, 17, 20])

    write_catalogue(catalogue(tmp_path).path)

    assert (table(tmp_path)["origin"] == "mcmc").sum() == 2


def test_the_longer_chain_of_two_counts(tmp_path):
    """Stores of chains here and elsewhere add up; one without a catalogue is left alone."""
    store = catalogue(tmp_path)
    elsewhere = tmp_path / "other" / "fits.zarr"
    fits(tmp_path / "a.zarr", [1, 2, 3, 0], value=1.0, steps=200)
    fits(tmp_path / "b.zarr", [2, 3, 5, 0], value=2.0, steps=100)
    fits(tmp_path / "none.zarr", [7, 0], into=None)
    fits(elsewhere, [9, 0], value=3.0, into="../catalogue.zarr")
    header = {"made_of": json.dumps({"other/fits.zarr": ""})}
    files.write_parquet(
        tmp_path / "catalogue.parquet", {"x": np.zeros(1)}, header
    )  # as fit left it

    write_catalogue(store.path)

    chi2 = table(tmp_path)["chi2"]
    assert {row: chi2[row] for row in np.flatnonzero(chi2)} == {1: 1, 2: 1, 3: 1, 5: 2, 9: 3}


def test_chains_of_another_flow_are_left_out_and_told(tmp_path, capsys):
    """They say nothing about this catalogue; the table is not behind for them."""
    store = catalogue(tmp_path)
    fits(tmp_path / "fits.zarr", [4, 17, 20], spectra={"survey": "other"})

    write_catalogue(store.path)

    assert (table(tmp_path)["origin"] == "flow").all() and not is_behind(store.path)
    assert "not merged, it is of another flow or spectra: spectra.survey" in capsys.readouterr().out


def test_what_is_left_after_a_kill_before_the_table(tmp_path, capsys):
    """Chains that are not in the table yet are work left for fit and infer, and status says so."""
    store = catalogue(tmp_path)
    assert "not there" in work_left("infer", store.path).why
    write_catalogue(store.path)
    assert work_left("infer", store.path) is None
    half = fits(tmp_path / "fits.zarr", [4, 17, 20], done=[0])
    assert work_left("fit", half.path).shards == [1, 2]
    whole = fits(tmp_path / "fits.zarr", [4, 17, 20])  # and then the kill

    for stage, path in (("fit", whole.path), ("infer", store.path)):
        assert (
            work_left(stage, path).shards == []
            and "catalogue.parquet" in work_left(stage, path).why
        )
    status(str(tmp_path))
    assert "Parquet file is behind: run jobs/infer.py" in capsys.readouterr().out
    write_catalogue(store.path)
    assert work_left("fit", whole.path) is work_left("infer", store.path) is None
    status(str(tmp_path))
    assert "behind" not in capsys.readouterr().out


@pytest.mark.slow
def test_killed_between_any_two_files_gives_the_same_table(tmp_path, boundaries):
    """A reader finds the old table or the new one, and the next command makes the new one."""
    whole = tmp_path / "whole"
    store = catalogue(whole)
    write_catalogue(store.path)
    old = (whole / "catalogue.parquet").read_bytes()
    fits(whole / "fits.zarr", [4, 17, 20])
    before = boundaries.count
    write_catalogue(store.path)
    new, total = (whole / "catalogue.parquet").read_bytes(), boundaries.count - before
    assert new != old and total >= 3  # lock, table, lock gone

    for kill in range(total):
        run = shutil.copytree(whole, tmp_path / str(kill))
        (run / "catalogue.parquet").write_bytes(old)
        with boundaries.killed_at(kill, hard=True):
            write_catalogue(run / "catalogue.zarr")
        assert (run / "catalogue.parquet").read_bytes() in (old, new)
        write_catalogue(run / "catalogue.zarr")
        assert (run / "catalogue.parquet").read_bytes() == new
        assert not is_behind(run / "catalogue.zarr")


def test_writers_wait_for_each_other(tmp_path, monkeypatch):
    """The parts of an array end together: one writes, the others find it done."""
    store, written = catalogue(tmp_path), []
    fits(tmp_path / "fits.zarr", [4, 17, 20])
    real = module.write_parquet

    def slow(*arguments):
        written.append(1)
        time.sleep(0.3)
        real(*arguments)

    monkeypatch.setattr(module, "write_parquet", slow)
    writers = [threading.Thread(target=write_catalogue, args=(store.path,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len(written) == 1 and (table(tmp_path)["origin"] == "mcmc").sum() == 2


def test_a_catalogue_of_an_older_version_is_refused(tmp_path):
    """Its arrays are of other names: the mend is told, and nothing is written."""
    arrays = {name: Array({"row": 3}, "float32") for name in ("chi2", "tage_p16")}
    store = create(tmp_path / "catalogue.zarr", arrays, MODEL, 3)
    store.write(0, chi2=np.ones(3), tage_p16=np.ones(3))

    with pytest.raises(BadInput, match=r"catalogue\.zarr was made by an older.*remove it.*infer"):
        write_catalogue(store.path)
    assert not (tmp_path / "catalogue.parquet").exists()


def test_a_catalogue_with_rows_missing_has_no_table(tmp_path):
    """Empty rows do not get in."""
    store = catalogue(tmp_path)
    store.forget(1)

    with pytest.raises(Incomplete, match=r"1 of 5 shards.*jobs/infer\.py"):
        write_catalogue(store.path)
    assert not (tmp_path / "catalogue.parquet").exists()


def test_a_header_of_somebody_else_is_none(tmp_path):
    """A Parquet file that says of its sources what we never write is behind, and written again."""
    catalogue(tmp_path)
    for words in ("[", "7", '["fits.zarr"]'):
        files.write_parquet(tmp_path / "catalogue.parquet", {"x": np.zeros(2)}, {"made_of": words})

        assert is_behind(tmp_path / "catalogue.zarr")

    write_catalogue(tmp_path / "catalogue.zarr")

    assert not is_behind(tmp_path / "catalogue.zarr") and len(table(tmp_path)) == ROWS
