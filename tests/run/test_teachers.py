"""Which objects teach; what they teach is in tests/stages/test_learn.py."""

import numpy as np
import pytest

from hpcsbi.errors import BadInput
from hpcsbi.flags import Flag
from hpcsbi.run.teachers import FEWEST_OBJECTS, teachers
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create

N = 40


def catalogue(path, flags, order=None, position=None):
    """Ids, flags and draws; the last row has too few of these."""
    draws = np.ones((N, 4, 2), np.float32)
    draws[-1, 2:] = np.nan
    ids = np.array([f"object {i}" for i in range(N)], object)
    arrays = {
        "id": Array({"row": N}, "string"),
        "flags": Array({"row": N}, "int32"),
        "samples": Array({"row": N, "draw": 4, "parameter": 2}, "float32"),
    }
    columns = {"id": ids, "flags": flags.astype(np.int32), "samples": draws}
    if position is not None:
        arrays["position"], columns["position"] = Array({"row": N, "axis": 2}, "float64"), position
    store = create(path, arrays, {}, N, {"notice": ""})
    order = np.arange(N) if order is None else order
    store.write(0, **{name: values[order] for name, values in columns.items()})
    return store


def test_what_a_wrong_model_does_is_taught_and_what_is_no_galaxy_is_not(tmp_path):
    """Flags of the checks stay, those of quasars and weak weights go, and reasons are counted."""
    flags = np.zeros(N, int)
    flags[:10] = Flag.CORRELATED | Flag.WINDOW | Flag.LINES | Flag.PREDICTIVE | Flag.EDGE
    flags[10:13], flags[13:15] = Flag.AGN | Flag.CLASS, Flag.WEAK_WEIGHTS
    chosen = teachers(
        catalogue(tmp_path / "catalogue.zarr", flags), None, ["AGN", "CLASS"], 1000, 0
    )

    assert set(chosen.rows) == {*range(10), *range(15, N - 1)}
    told = {"AGN": 3, "CLASS": 3, "WEAK_WEIGHTS": 2, "too few draws": 1}
    assert chosen.left_out == told


def test_objects_come_in_the_order_of_their_seeds(tmp_path):
    """Wherever they stand; another seed takes others, and a file of ids those alone."""
    order = np.random.default_rng(0).permutation(N)
    first = catalogue(tmp_path / "first.zarr", np.zeros(N))
    other = catalogue(tmp_path / "other.zarr", np.zeros(N), order)
    ids = [list(teachers(store, None, [], 20, 0).ids) for store in (first, other)]

    assert ids[0] == ids[1] and len(ids[0]) == 20
    assert ids[0] != list(teachers(first, None, [], 20, 1).ids)
    (tmp_path / "ids.txt").write_text("".join(f"object {i}\n" for i in range(12)))
    asked = teachers(first, str(tmp_path / "ids.txt"), [], 20, 0)
    assert set(asked.rows) == set(range(12)) and not asked.left_out


def test_too_few_are_refused(tmp_path):
    """With how many it takes, and why the others do not count."""
    flags = np.full(N, int(Flag.AGN))
    flags[: FEWEST_OBJECTS - 1] = 0

    with pytest.raises(BadInput, match=f"9 objects to learn from, and it takes {FEWEST_OBJECTS}"):
        teachers(catalogue(tmp_path / "catalogue.zarr", flags), None, ["AGN", "CLASS"], 1000, 0)


def test_an_unknown_flag_is_told(tmp_path):
    """With the one that was meant."""
    with pytest.raises(BadInput, match=r"no flag; did you mean CLASS\?"):
        teachers(catalogue(tmp_path / "catalogue.zarr", np.zeros(N)), None, ["CLAS"], 99, 0)


def test_spectra_of_one_place_are_of_one_object(tmp_path):
    """Whatever their ids; if there is one object alone, none can be held out."""
    place = np.column_stack([10.0 + np.arange(N), np.zeros(N)])
    place[7] = place[3] + 1e-4
    path = tmp_path / "catalogue.zarr"
    chosen = teachers(catalogue(path, np.zeros(N), None, place), None, [], 99, 0)
    pair = np.isin(chosen.ids, ["object 3", "object 7"])

    assert set(chosen.objects[pair]) == {"object 3"}
    assert list(chosen.objects[~pair]) == list(chosen.ids[~pair])
    one = catalogue(tmp_path / "one.zarr", np.zeros(N), None, np.zeros((N, 2)))
    with pytest.raises(BadInput, match=r"one object .* none can be held out"):
        teachers(one, None, [], 99, 0)
