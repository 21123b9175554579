"""What the page says of fitted objects, of the arrays that `fit` writes."""

import numpy as np
import pytest
import tiny

from hpcsbi.mcmc import fit_columns
from hpcsbi.report import fits_section


def test_fit_makes_what_the_page_reads():
    """Every array and method of the section is one that `fit` writes."""
    assert {*fits_section.COLUMNS, *fits_section.DRAWS} <= set(fit_columns.ARRAYS)
    assert tuple(fits_section.TITLES) == fit_columns.METHODS


PRIOR = tiny.prior()
METHODS = ("flow", "reweighted", "halves")


def section(n=8, settings=None, **changes):
    """The section of objects that are not drawn."""
    shape = (n, len(METHODS), len(PRIOR.names))
    columns = {
        "id": np.array([f"g{i}" for i in range(n)]),
        "method": np.array(METHODS),
        "converged": np.ones(n, bool),
        "n_steps": np.full(n, 100),
        "tau": np.full((n, len(PRIOR.names)), 9.0),
        "rhat": np.ones((n, len(PRIOR.names))),
        "wasserstein": np.full(shape, 0.1),
        "width_ratio": np.ones(shape),
        "c2st": np.full(shape[:2], 0.5),
        "pareto_k": np.full((n, len(METHODS)), np.nan),
    }
    return fits_section.section(columns | changes, [], PRIOR, settings or {}, [], [], "flows/a")


def test_only_converged_chains_are_in_the_table():
    """Counts of all, numbers of those that have converged; the others are named."""
    converged = np.array([True, False, True])
    distances = np.full((3, len(METHODS), len(PRIOR.names)), 0.1)
    distances[1] = 99.0

    content = section(3, converged=converged, wasserstein=distances)

    assert (content["rows"], content["converged"], content["unconverged"]) == (3, 2, "g1")
    assert content["accuracy"]["counts"] == [2, 2, 2]
    assert content["accuracy"]["rows"][0]["distances"][0] == ("0.100", "0.100")
    assert content["methods"] == ["flow", "re-weighted", "halves of the chain"]


def test_without_a_converged_chain_there_is_no_table():
    """And of many names the first few are told."""
    content = section(8, converged=np.zeros(8, bool))

    assert content["accuracy"] is None and content["scatter"] is None
    assert content["unconverged"] == "g0, g1, g2, g3, g4 and 3 more"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engine": "prospector"}, "Prospector's likelihood"),
        ({"likelihood": "given"}, "quoted sigma"),
        ({"start": "flow"}, "a mode that the flow does not know"),
    ],
)
def test_what_makes_chains_and_flow_differ_is_remarked(settings, words):
    """Each choice has its sentence; the usual ones have none."""
    (remark,) = section(settings=settings)["remarks"]

    assert words in remark
    assert section(settings={"engine": "table", "start": "prior"})["remarks"] == []


def test_objects_without_k_have_no_scatter():
    """And costs that nobody noted are told as missing."""
    content = section()

    assert content["scatter"] is None and content["objects"] == []
    assert content["costs"] == [] and "costs are missing" in content["break_even"]
