"""What lies in a flow's folder is a flow, or is refused by its name."""

import shutil

import numpy as np
import pytest
import tiny

from hpcsbi.errors import BadInput
from hpcsbi.run.flows import load_derived, load_engine, load_posterior
from hpcsbi.store.files import save_weights
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_store


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({}, "have no settings"),
        ({"settings": {}, "notice": ""}, "hold no prior"),
        ({"settings": {"training": {"simulations": {}, "noise": None}}}, "hold no prior"),
    ],
)
def test_weights_of_another_version_are_refused_by_name(tmp_path, header, words):
    """A file of weights that is whole and says too little of its flow names itself."""
    save_weights(tmp_path / "flow.safetensors", {"w": np.zeros(3)}, header)

    with pytest.raises(BadInput, match=rf"flow\.safetensors: .*{words}"):
        load_posterior(tmp_path)


def test_a_flow_that_is_not_there_says_what_makes_it(tmp_path):
    """The message names the file and the job."""
    with pytest.raises(FileNotFoundError, match=r"flow\.safetensors does not exist: run jobs"):
        load_posterior(tmp_path)


def test_a_table_of_before_the_derived_quantities_is_named(tmp_path):
    """Its spectra serve as ever; who wants more of it is told what to make."""
    new, path = open_store(tiny.TABLE), tmp_path / "ssp.zarr"
    dims = {"logzsol": new.rows, "age": len(new.read("log_age")), "moment": 3, "pixel": 138}
    arrays = {name: Array(dims, "float32") for name in ("continuum", "lines")}
    for name in ("logzsol", "log_age", "wave", "dust_curve"):
        values = new.read(name)
        arrays[name] = Array({f"along_{name}": len(values)}, "float64", values=values)
    arrays["logzsol"] = Array({"logzsol": new.rows}, "float64", values=new.read("logzsol"))
    old = create(path, arrays, dict(new.settings), new.rows)
    old.write(0, **{name: new.read(name) for name in ("continuum", "lines")})
    prior = tiny.prior()
    ssp = load_engine(path, prior)

    with pytest.raises(
        BadInput, match=r"ssp\.zarr was made by an older version, without surviving"
    ):
        load_derived(path, ssp)


def test_a_flow_whose_table_is_gone_is_refused(small_run, tmp_path):
    """It counts masses from spectra of its table: without it they would be wrong by dex."""
    flow = small_run / "flows" / "demo" / "flow.safetensors"
    shutil.copy(flow, tmp_path)

    with pytest.raises(BadInput, match=r"ssp\.zarr is not there, .* put that table back"):
        load_posterior(tmp_path)


def test_a_flow_is_loaded_where_it_is_wanted(small_run):
    """Each device has its own; the table of the derived quantities stays on the processor."""
    folder = small_run / "flows" / "demo"
    moved = load_posterior(folder, "meta")

    assert moved.device.type == moved.ssp.k.device.type == "meta"
    assert moved.derived.ssp.k.device.type == "cpu"
    assert load_posterior(folder).device.type == load_posterior(folder).ssp.k.device.type == "cpu"
