"""A store is of one code: what decides its bytes may not change between two of its shards."""

import shutil
from functools import partial

import numpy as np
import pytest
import tiny

from hpcsbi.cluster.executors import Serial
from hpcsbi.errors import Unfinished
from hpcsbi.grid import Grid
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.simulate import simulate
from hpcsbi.store import provenance
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create, open_store
from hpcsbi.store.provenance import code_of
from hpcsbi.store.settings import Mismatch
from hpcsbi.store.shards import run_shards
from hpcsbi.survey.readers.registry import FORMATS


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A function that changes a module's text, as an editor or git pull does."""
    folder = tmp_path / "hpcsbi"
    folder.mkdir()
    for path in provenance.PACKAGE.rglob("*.py"):
        copy = folder / path.relative_to(provenance.PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)

    def forget():
        code_of.cache_clear()
        provenance._parsed.cache_clear()

    def edit(module: str, old: str, new: str) -> None:
        path = folder.joinpath(*module.split(".")).with_suffix(".py")
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        forget()

    monkeypatch.setattr(provenance, "PACKAGE", folder)
    forget()
    yield edit
    forget()


def test_only_what_decides_counts(edited):
    """Words for readers and modules that only carry do not count, every operation does."""
    before = {stage: code_of(stage) for stage in ("simulate", "infer", "ingest")}
    edited("simulator.galaxy.dust", '"""', '"""Other words. ')
    edited("simulator.galaxy.dust", "import numpy as np", "import numpy as np  # a comment\n\n")
    edited("store.locks", "SETTLED = 1.0", "SETTLED = 3.0")
    edited("stages.report", "import numpy as np", "import numpy")
    edited("pipeline", "OF_A_RUN =", "MORE = 2\nOF_A_RUN =")  # stores outlive a new stage
    assert before == {stage: code_of(stage) for stage in before}

    edited("kernels.arithmetic", "0.5", "0.25")
    assert code_of("simulate") != before["simulate"] and code_of("infer") != before["infer"]
    assert code_of("ingest") == before["ingest"]


@pytest.mark.parametrize("survey", list(FORMATS))
def test_readers_of_surveys_decide_what_is_ingested(survey, edited):
    """Each counts, whatever survey is read; simulations do not depend on them."""
    before = {stage: code_of(stage) for stage in ("simulate", "ingest")}
    edited(f"survey.readers.{survey}", "__all__", "MORE = 2\n__all__")

    assert code_of("ingest") != before["ingest"]
    assert code_of("simulate") == before["simulate"]


def simulated(path, columns=tiny.DIGS):
    simulate(
        str(path), "table", 96, None, 48, Prior(columns), Grid(), Physics(), str(tiny.TABLE), 0,
        Serial(),
    )  # fmt: skip
    return open_store(path)


def test_other_code_does_not_go_on_with_a_store(tmp_path, edited):
    """Refused with the mend before anything is made; the code that began it goes on."""
    store = simulated(tmp_path / "s.zarr")
    whole = tiny.all_bytes(store.path)
    store.forget(1)
    edited("simulator.galaxy.delayed_tau", "import", "MORE = 2\nimport")

    with pytest.raises(Mismatch, match=r"code: .* in the store(.|\n)*go on with that version"):
        simulated(tmp_path / "s.zarr")
    assert store.states() == {0: "done", 1: "missing"}
    edited("simulator.galaxy.delayed_tau", "MORE = 2\nimport", "import")
    simulated(tmp_path / "s.zarr")
    assert tiny.all_bytes(store.path) == whole


def test_columns_in_another_order_do_not_go_on_with_a_store(tmp_path):
    """Rows of both orders in one store would stand under the names of the first."""
    store = simulated(tmp_path / "s.zarr")
    store.forget(1)

    with pytest.raises(Mismatch, match=r"prior\.columns: in the order logmass, .* asked"):
        simulated(tmp_path / "s.zarr", dict(reversed(tiny.DIGS.items())))
    assert store.states()[1] == "missing"


def make(store, shard: int) -> None:
    store.write(shard, x=np.zeros(1))


def test_a_worker_of_other_code_makes_nothing(tmp_path, edited):
    """One that starts after the code was changed, or on a node with another installation."""
    settings = {"code": code_of("infer")}
    store = create(tmp_path / "c.zarr", {"x": Array({"row": 2}, "float32")}, settings, 1)
    edited("kernels.arithmetic", "0.5", "0.25")

    with pytest.raises(Unfinished, match=r"2 of 2 shards failed(.|\n)*not the one that began"):
        run_shards(partial(make, store), store, Serial(), "infer")
