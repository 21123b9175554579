"""What is there keeps its options: others are refused before a job, the same ones go on."""

import pytest
import tiny
from configurations import DEMO, composed, refused

from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import BadInput
from hpcsbi.launch.checks import arguments, check_stages
from hpcsbi.launch.made_before import OPTIONS, refuse_other_options
from hpcsbi.run.folder import FlowFolder
from hpcsbi.stages.simulate import simulate
from hpcsbi.store.files import save_weights
from hpcsbi.store.settings import Mismatch

SMALL = (*DEMO, f"tabulate.out={tiny.TABLE}", "simulate.n=64", "simulate.shard=64")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Where `simulate` has been."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    simulate(**arguments(composed(*SMALL, f"run={folder}"), "simulate"), cluster=Serial())
    return folder


def test_another_number_is_refused_before_anything_runs(run):
    """With both values and the mend; as it was it goes on."""
    check_stages(composed(*SMALL, f"run={run}"), ("simulate",))
    said = refused(("simulate",), *SMALL, f"run={run}", "simulate.n=65", "simulate.seed=1")

    assert "n: 64 in the store, 65 asked" in said and "seed: 0 in the store, 1 asked" in said
    assert "Choose another name=" in said


def test_rows_of_a_file_have_their_own_number(run, tmp_path):
    """simulate.n does not count then."""
    node = arguments(composed(*SMALL, f"run={run}"), "simulate")
    refuse_other_options("simulate", node | {"n": 65, "theta": "theta.csv"})
    with pytest.raises(Mismatch, match="n: 64"):
        refuse_other_options("simulate", node | {"n": 65})


@pytest.mark.parametrize("name", OPTIONS["train"])
@pytest.mark.parametrize("begun", [True, False])
def test_a_training_keeps_its_options(tmp_path, name, begun):
    """Begun or ended; a folder in which nothing was trained has none."""
    node = {key: 1 for key in OPTIONS["train"]} | {"out": str(tmp_path)}
    refuse_other_options("train", node | {name: 2})
    flow = FlowFolder(tmp_path)
    save_weights(flow.checkpoint if begun else flow.weights, {}, {"settings": node})

    refuse_other_options("train", node)
    with pytest.raises(Mismatch, match=f"{name}: 1 in the store, 2 asked"):
        refuse_other_options("train", node | {name: 2})


@pytest.mark.parametrize(("begun", "asked"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_product_keeps_its_device(tmp_path, begun, asked):
    """The processor stands in no settings; which device "auto" is only the job knows."""
    settings = {} if begun == "cpu" else {"device": begun}
    save_weights(FlowFolder(tmp_path).checkpoint, {}, {"settings": settings | {"seed": 0}})
    node = {"out": str(tmp_path), "seed": 0, "compiled": False, "passes": 1}

    for device in (begun, "auto"):
        refuse_other_options("train", node | {"device": device})
    words = f'device: "{begun}" in the store, "{asked}" asked'
    with pytest.raises(Mismatch, match=words):
        refuse_other_options("train", node | {"device": asked})


@pytest.mark.parametrize("stage", OPTIONS)
def test_options_are_arguments_of_their_stage(stage):
    """As the configuration has them."""
    assert {*OPTIONS[stage]} <= {*composed(*DEMO)[stage]}


def test_what_is_no_store_is_told(tmp_path):
    """By its own words; other stages keep no such thing."""
    (tmp_path / "simulations.zarr").mkdir()
    node = {"out": str(tmp_path / "simulations.zarr"), "n": 1, "seed": 0, "source": "table"}
    with pytest.raises((BadInput, FileNotFoundError), match=r"simulations\.zarr"):
        refuse_other_options("simulate", node)
    refuse_other_options("report", {"out": str(tmp_path)})
