"""Edges of bins of age that a prior says: limits, Prospector's template, what is refused."""

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.errors import BadInput
from hpcsbi.simulator.galaxy.agebins import check_edges, edges_since
from hpcsbi.simulator.galaxy.bins import tensors
from hpcsbi.simulator.galaxy.continuity import Continuity
from hpcsbi.simulator.galaxy.dirichlet import Dirichlet
from hpcsbi.simulator.galaxy.physics import Physics, check_names, check_prior
from hpcsbi.simulator.table.ssp_arrays import ARRAYS
from hpcsbi.simulator.table.ssp_table import Ssp
from hpcsbi.simulator.theta.parameters import parameter
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_complete

LOG_AGE = np.linspace(5, 10.3, 107)
LEJA = {"agebin_edge_1": 0.03, "agebin_edge_2": 0.1, "oldest_agebin_fraction": 0.85}
SIX = {f"agebin_edge_{i}": t for i, t in enumerate((0.01, 0.05, 0.1, 0.316, 1.0, 5.0), start=1)}


def edges(bins, tage=13.7, **said):
    return edges_since(tensors({"tage": tage} | said), bins)[0].numpy()


def prior_with(name, said):
    """A prior that ships, with columns that are fixed."""
    columns = tiny.columns(name)
    return Prior({"tage": columns["tage"]} | {n: {"given": x} for n, x in said.items()} | columns)


@pytest.mark.parametrize("name", ["continuity", "dirichlet"])
def test_edges_of_leja_by_hand_are_leja_s(name):
    """Spectra and slopes to the byte; control: of another edge they are other ones."""
    table = open_complete(tiny.TABLE, "tabulate")
    arrays = {array: table.read(array) for array in ARRAYS}
    plain, said = Prior(tiny.columns(name)), prior_with(name, LEJA)
    other = prior_with(name, LEJA | {"agebin_edge_1": 0.02})
    theta = plain.sample(200, np.random.default_rng(0))
    flux = []
    for prior in (plain, said, other):
        columns = [plain.names.index(n) if n in plain.names else None for n in prior.names]
        rows = np.column_stack(
            [np.full(200, prior.bounds[0][i]) if c is None else theta[:, c]
             for i, c in enumerate(columns)]
        )  # fmt: skip
        engine = Ssp(**arrays, prior=prior)
        flux.append(engine.flux(torch.tensor(rows), prior.names).numpy())

    assert np.array_equal(flux[0], flux[1])
    assert np.abs(np.log(flux[0] / flux[2])).max() > 1e-3


@pytest.mark.parametrize("bins", [4, 7, 14])
def test_what_is_not_said_is_equal_in_the_logarithm(bins):
    """One edge or two, then up to a fraction of tage, as Prospector's template has it."""
    templates = pytest.importorskip("prospect.models.templates")
    model = templates.TemplateLibrary["continuity_sfh"]
    theirs = templates.adjust_continuity_agebins(model, tuniv=13.7, nbins=bins)["agebins"]["init"]
    ends = 10 ** (np.array(theirs)[:, 1] - 9)

    assert edges(bins) == pytest.approx(ends, rel=2e-4)  # 10^7.4772 is 30.004 Myr
    for said in ({"agebin_edge_1": 0.01}, {"agebin_edge_1": 0.01, "agebin_edge_2": 0.3}):
        found = edges(bins, 10.0, oldest_agebin_fraction=0.5, **said)
        first = len(said) - 1
        assert found[: first + 1] == pytest.approx([*said.values()])
        assert found[-2:] == pytest.approx([5.0, 10.0])
        steps = np.diff(np.log(found[first:-1]))
        assert steps == pytest.approx(np.full(bins - first - 2, steps.mean()))


def test_all_edges_may_be_said():
    """Then they are these and tage; with a bin more the fraction of tage comes before it."""
    assert edges(7, **SIX) == pytest.approx([*SIX.values(), 13.7])
    assert edges(8, **SIX) == pytest.approx([*SIX.values(), 0.85 * 13.7, 13.7])
    row = {"tage": 13.7} | SIX | {f"logsfr_ratio_{i}": 0.0 for i in range(1, 7)}
    agebins = Continuity.prospector(row)["agebins"]
    assert agebins[1:, 0] == pytest.approx(np.log10([*SIX.values()]) + 9)
    assert agebins[:, 1] == pytest.approx(np.log10([*SIX.values(), 13.7]) + 9)


@given(st.lists(st.floats(0.003, 5.0), min_size=1, max_size=6, unique=True), st.floats(0.0, 14.0))
def test_a_constant_rate_knows_no_edges(ends, tage):
    """Wherever they are, and for galaxies that are too young for them: then of the next age."""
    said = {f"agebin_edge_{i}": t for i, t in enumerate(sorted(ends), start=1)}
    row = {"tage": [tage]} | {n: [x] for n, x in said.items()}
    flat = row | {f"logsfr_ratio_{i}": [0.0] for i in range(1, 7)}
    oldest = Continuity.bins_of(tensors(flat)).edges[0, -1].item()

    assert oldest == pytest.approx(tage) or oldest > tage
    assert (np.diff(edges(7, tage, **said)) >= 0).all()
    plain = {n: x for n, x in flat.items() if n not in said} | {"tage": [oldest]}
    weights = [Continuity.weights(LOG_AGE, column) for column in (flat, plain)]
    assert weights[0] == pytest.approx(weights[1], abs=1e-9)
    assert Continuity.mean_age(flat) == pytest.approx(oldest / 2)
    dirichlet = row | {f"z_fraction_{i}": [1 - 1 / (8 - i)] for i in range(1, 7)}
    assert Dirichlet.weights(LOG_AGE, dirichlet) == pytest.approx(weights[0], abs=1e-9)


def test_times_follow_the_edges():
    """A galaxy whose mass is nearly all in one bin has its times there."""
    ratios = {f"logsfr_ratio_{i}": [0.0] for i in range(1, 7)}
    column = {"tage": [13.0]} | {n: [x] for n, x in SIX.items()} | ratios
    column |= {"logsfr_ratio_4": [-7.0], "logsfr_ratio_5": [7.0]}  # all between 0.316 and 1 Gyr

    assert Continuity.lookback(0.5, column) == pytest.approx(0.658, abs=1e-3)
    assert Continuity.younger(1.0, column) == pytest.approx(1, abs=1e-4)
    assert Continuity.younger(0.316, column) == pytest.approx(0, abs=1e-4)
    there = column | {"agebin_edge_5": [4.0]}
    assert Continuity.lookback(0.5, there) == pytest.approx(2.158, abs=1e-3)


def priors(**said):
    columns = {"tage": {"low": 6.5, "high": 13.8, "given": "age_of_universe"}}
    columns |= {n: x if isinstance(x, dict) else {"given": x} for n, x in said.items()}
    return Prior(columns).columns


@pytest.mark.parametrize(
    ("bins", "said", "message"),
    [
        (6, SIX, "has agebin_edge_6, and 6 bins of age have 5 edges .*take it out, or add"),
        (7, SIX | {"oldest_agebin_fraction": 0.8}, "oldest_agebin_fraction, and agebin_edge_6 is"),
        (7, SIX | {"agebin_edge_3": 0.05}, "agebin_edge_3 begins at 0.05 Gyr, .*_2 ends at 0.05"),
        (7, SIX | {"agebin_edge_2": {"low": 0.02, "high": 0.2}}, "agebin_edge_3 .*let it be 0.203"),
        (7, SIX | {"agebin_edge_6": 6.45}, "agebin_edge_6.* 6.45 Gyr.*tage is 6.5 the oldest ends"),
        (8, SIX | {"agebin_edge_6": 5.5}, r"until 5.5 .*begins at 5.525 Gyr, after 1 more: they"),
        (
            7,
            {"oldest_agebin_fraction": 0.05, "tage": {"low": 1, "high": 9}},
            r"_fraction.*until 0.1",
        ),
    ],
)
def test_bins_that_do_not_ascend_are_refused(bins, said, message):
    """In one line that names the columns, before anything is computed."""
    with pytest.raises(BadInput, match=message):
        check_edges(priors(**said), bins)


def test_a_prior_is_checked_with_its_bins():
    """As many as the columns of its family make, whichever it is; numbers have no gap."""
    for name in ("continuity", "dirichlet"):
        check_prior(prior_with(name, SIX).columns, Physics())
        with pytest.raises(BadInput, match="agebin_edge_7, and 7 bins of age have 6 edges"):
            check_prior(prior_with(name, SIX | {"agebin_edge_7": 6.0}).columns, Physics())
        with pytest.raises(BadInput, match="agebin_edge_3 without agebin_edge_2"):
            some = {n: SIX[n] for n in ("agebin_edge_1", "agebin_edge_3")}
            check_names(prior_with(name, some).names, Physics())
    with pytest.raises(BadInput, match="agebin_edge_1, on which no spectrum here depends"):
        check_names((*tiny.columns("survey"), "agebin_edge_1"), Physics())
    assert parameter("agebin_edge_1").unit.startswith("Gyr")
