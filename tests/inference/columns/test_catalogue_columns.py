"""Arrays of a catalogue, empty rows, and the names under which quantiles are published."""

import numpy as np
import pytest

from hpcsbi.flags import Flag
from hpcsbi.inference.columns.catalogue_columns import (
    ARRAYS,
    CERTIFIED,
    DERIVED,
    arrays_of,
    by_level,
    columns_without_posterior,
    published,
)
from hpcsbi.inference.columns.line_excess import EXCESS, MOMENTS
from hpcsbi.inference.columns.observed_lines import OBSERVED
from hpcsbi.inference.sampling.certificate import QUANTILES

SIZES = {
    "row": 3, "level": len(QUANTILES), "parameter": 2, "quantity": 5, "blend": 3, "axis": 2,
    "name": 4,
}  # fmt: skip


@pytest.mark.parametrize("certificate", [True, False])
@pytest.mark.parametrize("derived", [True, False])
@pytest.mark.parametrize(("keep_draws", "lines"), [(0, {}), (30, {"line_group": 4})])
def test_options_decide_which_arrays_there_are(certificate, derived, keep_draws, lines):
    """The certificate's with one, draws where they are kept; the rest always, in one order."""
    arrays = arrays_of(certificate, derived, {**SIZES, **lines, "draw": keep_draws})

    assert ({*CERTIFIED} <= {*arrays}) == certificate
    assert ({*CERTIFIED} & {*arrays} != set()) == certificate
    assert {*DERIVED} & {*arrays} == ({*DERIVED} if derived else set())
    assert ("samples" in arrays) == (keep_draws > 0)
    assert ({*EXCESS} <= {*arrays}) == bool(lines)
    assert {*ARRAYS} - {*arrays} <= {*CERTIFIED, *DERIVED, *EXCESS, "samples"}
    assert list(arrays) == [name for name in ARRAYS if name in arrays]


@pytest.mark.parametrize("certificate", [True, False])
def test_rows_without_posterior_hold_no_numbers(certificate):
    """NaN in what is measured, no draws, and the flag that says so: never a zero to be believed."""
    columns = columns_without_posterior({**SIZES, "draw": 4}, certificate, True)

    assert set(columns) == set(arrays_of(certificate, True, {**SIZES, "draw": 4}))
    assert (columns["flags"] == Flag.NO_POSTERIOR).all() and not columns["n_draws"].any()
    assert columns["samples"].shape == (3, 4, 2)
    measured = [values for values in columns.values() if values.dtype.kind == "f"]
    assert len(measured) > 5 and all(np.isnan(values).all() for values in measured)
    assert "samples" not in columns_without_posterior({**SIZES, "draw": 0}, certificate, True)


@pytest.mark.parametrize("kind", ["", "flow_"])
def test_quantiles_stand_under_their_names(kind):
    """Of the parameter and the level asked for, parameter after parameter from low to high."""
    theta = np.random.default_rng(0).lognormal(size=(3, 1000, 2))
    quantiles = np.moveaxis(np.quantile(theta, list(QUANTILES.values()), axis=1), 0, 1)
    columns = by_level(quantiles, ("tage", "tau"), kind)

    assert list(columns) == [
        f"{name}_{kind}{level}" for name in ("tage", "tau") for level in QUANTILES
    ]
    assert np.array_equal(columns[f"tau_{kind}p50"], np.median(theta[..., 1], axis=1))
    assert (columns[f"tage_{kind}p2_5"] < columns[f"tage_{kind}p97_5"]).all()


def test_every_array_has_its_published_columns():
    """One for each number: shares behind the name, lines between; a plain array is itself."""
    along = {"parameter": ("tage", "tau"), "quantity": ("av",), "blend": ("hbeta",)}
    values = np.arange(6.0).reshape(3, 2)
    shown = published("prior_share", values, along)

    assert {name: column.tolist() for name, column in shown.items()} == {
        "tage_prior_share": [0, 2, 4], "tau_prior_share": [1, 3, 5],
    }  # fmt: skip
    assert [*published("derived_prior_share", values[:, :1], along)] == ["av_prior_share"]
    lines = [name for array in OBSERVED for name in published(array, values[:, :1], along)]
    assert lines == [
        "observed_hbeta_luminosity", "observed_hbeta_luminosity_error", "observed_hbeta_ew",
    ]  # fmt: skip
    quantiles = np.zeros((3, len(QUANTILES), 1))
    assert [*published("derived_quantiles", quantiles, along)] == [f"av_{p}" for p in QUANTILES]
    excess = np.arange(12.0).reshape(3, len(MOMENTS), 2)
    shown = published("line_excess", excess, {"line_group": ("oii", "hbeta")})
    assert {name: column.tolist() for name, column in shown.items()} == {
        "line_excess_oii": [0, 4, 8], "line_excess_oii_error": [2, 6, 10],
        "line_excess_hbeta": [1, 5, 9], "line_excess_hbeta_error": [3, 7, 11],
    }  # fmt: skip
    assert [*published("chi2", values[:, 0], along)] == ["chi2"]
    who = {"axis": ("ra", "dec"), "name": ("survey", "program", "file", "key")}
    assert [*published("position", values, who)] == ["ra", "dec"]
    assert [*published("identity", np.full((3, 4), ""), who)] == [*who["name"]]
    assert published("derived_prior_share", values, {"parameter": ("tage", "tau")}) == {}
