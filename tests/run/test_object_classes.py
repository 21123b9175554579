"""Which objects are of a class, by what a catalogue says of them."""

import numpy as np
import pytest

from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.observed_lines import EMISSION
from hpcsbi.run.object_classes import KINDS, object_classes
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create

AGES = [1.0, 2.0, 3.0, np.nan, 9.0, 11.0]
H_ALPHA = [40.0, 0.5, np.nan, np.nan, EMISSION, 3.1]
O_II = [0.0, 30.0, 5.0, np.nan, 9.0, 0.0]
CLASSES = ["GALAXY", "GALAXY  AGN", "", "GALAXY", "GALAXY_AGN", "STAR A0/B"]
N = len(AGES)


@pytest.fixture
def catalogue(tmp_path):
    """Six objects; the store has more levels, quantities and blends than are asked for."""
    derived = np.zeros((N, 3, 2), np.float32)
    derived[:, 1, 1] = AGES
    row = {"row": N}
    arrays = {
        "observed_ew": Array({**row, "blend": 3}, "float32"),
        "derived_quantiles": Array({**row, "level": 3, "quantity": 2}, "float32"),
        "survey_class": Array(row, "string"),
    }
    blends = np.array(["oii_3726_3729", "hbeta", "halpha_nii"], object)
    quantities = np.array(["t50", "mass_weighted_age"], object)
    arrays["blend"] = Array({"blend": 3}, "string", values=blends)
    arrays["quantity"] = Array({"quantity": 2}, "string", values=quantities)
    arrays["level"] = Array({"level": 3}, "float64", values=np.array([0.16, 0.5, 0.84]))
    store = create(tmp_path / "catalogue.zarr", arrays, {}, N, {"notice": ""})
    widths = np.column_stack([O_II, np.full(N, 99.0), H_ALPHA]).astype(np.float32)
    store.write(
        0, observed_ew=widths, derived_quantiles=derived, survey_class=np.array(CLASSES, object)
    )
    return store


def rows_of(classes):
    return {each.name: np.flatnonzero(each.members).tolist() for each in classes}


def test_each_kind_tells_objects_apart_by_what_it_knows(catalogue):
    """What it does not know of is in no class; names are fit for files, and meanings are told."""
    classes = object_classes(catalogue, np.arange(N), list(KINDS))

    assert rows_of(classes) == {
        "with_lines": [0, 2, 5],
        "without_lines": [1, 4],
        "older": [4, 5],
        "younger": [0, 1, 2],
        "class_GALAXY": [0, 3],
        "class_GALAXY_AGN": [1, 4],
        "class_STAR_A0_B": [5],
    }
    meanings = {each.name: each.meaning for each in classes}
    assert "3.00 Gyr" in meanings["older"] and "[O II]" in meanings["with_lines"]


def test_the_order_of_the_objects_is_that_of_the_rows(catalogue):
    """Rows of the catalogue, not places in it; the median is theirs."""
    [older, younger] = object_classes(catalogue, np.array([5, 0]), ["age"])

    assert older.members.tolist() == [True, False]
    assert younger.members.tolist() == [False, True]
    assert "6.00 Gyr" in older.meaning


def test_a_catalogue_without_what_a_kind_takes_is_told(tmp_path):
    """With the mend."""
    bare = create(tmp_path / "bare.zarr", {"id": Array({"row": 1}, "string")}, {}, 1, {})

    with pytest.raises(BadInput, match=r"has age, which takes derived_quantiles.*infer\.py"):
        object_classes(bare, np.arange(1), ["age"])
