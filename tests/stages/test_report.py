"""The page of a run shows what is there, needs nothing else, and trusts no name."""

import base64
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
import tiny

from hpcsbi.flags import Flag
from hpcsbi.grid import Grid
from hpcsbi.inference.columns.observed_lines import OBSERVED
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.run.page_sources import MADE_OF, why_old
from hpcsbi.simulator.galaxy.dust import dust_curve
from hpcsbi.simulator.galaxy.indices import BANDS, BLENDS, LINES
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.simulator.theta.parameters import parameter
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.stages.report import report
from hpcsbi.statistics.calibration import sbc_ranks, tarp_fractions
from hpcsbi.statistics.verdict import verdict
from hpcsbi.store.files import save_weights
from hpcsbi.store.layout import Array
from hpcsbi.store.opening import create

GRID = Grid()
BASIC = tiny.columns("digs") | {"dust2": {"low": 0, "high": 4}, "tage": {"low": 0.01, "high": 4}}
PRIOR = Prior({**BASIC, "noise_floor": {"low": 0.003, "high": 0.2, "log": True}})
OTHER = Prior({**BASIC, "tage": {"low": 0.01, "high": 13}})
SIMULATIONS = {"n": 60, **Model(PRIOR, GRID, Physics()).settings()}
FLOW = {"training": {"simulations": SIMULATIONS}, "steps": 100}
NOTICE = "A table for trying, not for science & <i>not</i> for quoting."
IDS = ["<script>alert(1)</script>", "a & b", "spec-1", "spec-2"]
N = len(IDS)


def filled(path, arrays, settings, constants=None, shard=100, notice=NOTICE):
    """A finished store of the arrays given, with coordinates beside them."""
    made = {
        name: Array(
            {"row": len(values), **{f"{name}_{i}": k for i, k in enumerate(values.shape[1:])}},
            "string" if values.dtype.kind in "UOT" else str(values.dtype),
        )
        for name, values in arrays.items()
    }
    for name, values in (constants or {}).items():
        dtype = "string" if values.dtype.kind == "U" else "float64"
        made[name] = Array({name: len(values)}, dtype, values=values)
    store = create(path, made, settings, shard, {"notice": notice})
    for i in store.shards:
        store.write(i, **{name: values[store.rows_of(i)] for name, values in arrays.items()})
    return store


def simulations(folder, rng):
    """Sixty made-up spectra, one of which failed."""
    theta = PRIOR.sample(60, rng)
    flux = (1 + rng.random((60, 1)) * GRID.wave / 5000).astype("float32")
    arrays = {"theta": theta, "flux": flux, "status": (np.arange(60) == 3).astype("int8")}
    coordinates = {"wave": GRID.wave, "parameter": np.array(PRIOR.names)}
    filled(folder / "simulations.zarr", arrays, SIMULATIONS, coordinates)


def training(folder):
    """Pairs with an honest split, and a flow with its history."""
    base = np.repeat(np.arange(60), 2)
    split = np.where(base < 50, 0, 1).astype("int8")
    filled(folder / "training.zarr", {"base": base, "split": split}, FLOW["training"])
    header = {"settings": FLOW, "notice": NOTICE}
    save_weights(folder / "flows/a/flow.safetensors", {"w": np.zeros(3)}, header)
    history = [{"step": 10 * i, "validation_log_prob": i, "learning_rate": 1} for i in range(9)]
    (folder / "flows/a/history.json").write_text(json.dumps(history))


def table(folder):
    """A table of grey stellar populations, good for nothing but drawing."""
    z, ages = np.array([-2.0, -0.5, 0.4]), np.linspace(5.5, 10.2, 25)
    slope = np.linspace(2, -2, 25)[:, None] + 0.1 * np.arange(3)[:, None, None]
    continuum = 1e-4 * np.exp(slope * (GRID.wave / 6000 - 1)) * (ages[-1] + 1 - ages)[:, None]
    continuum = np.stack([continuum, 0.01 * continuum, 0 * continuum], 2).astype("float32")
    arrays = {"continuum": continuum, "lines": 0.01 * continuum}
    arrays["surviving_mass"] = np.linspace(1, 0.6, 25, dtype="float32") * np.ones((3, 1), "float32")
    arrays["line_luminosity"] = np.full((3, 25, len(LINES)), 1e-3, "float32")
    arrays["bands"] = np.ones((3, 25, 3, len(BANDS)), "float32")
    coordinates = {"log_age": ages, "wave": GRID.wave, "dust_curve": dust_curve(GRID.wave, 2)}
    coordinates["logzsol"] = z
    filled(folder / "flows/a/ssp.zarr", arrays, {"physics": Physics().settings()}, coordinates)


def calibration(folder, rng, width=1.0, more=None):
    """Calibration of a Gaussian posterior cut at the prior's box, by rejection."""
    coordinates = PRIOR.coordinates(PRIOR.sample(200, rng))
    sigma = 0.01 * (PRIOR.high - PRIOR.low)
    middle = coordinates + sigma * rng.normal(size=coordinates.shape)
    draws = middle[:, None] + width * sigma * rng.normal(size=(200, 100, len(sigma)))
    kept = np.full(200, 100, "int32")
    kept[9] = 0
    draws[9] = np.nan
    ranks = sbc_ranks(coordinates, draws, kept)
    tarp = tarp_fractions(coordinates, draws, PRIOR.low, PRIOR.high, rng, kept)
    draws[9] = 0
    levels = [0.025, 0.16, 0.5, 0.84, 0.975]
    quantiles = PRIOR.theta(np.moveaxis(np.quantile(draws, levels, axis=1), 0, 1))
    arrays = {"theta": PRIOR.theta(coordinates), "ranks": ranks, "tarp": tarp, "n_draws": kept}
    arrays["quantiles"] = np.moveaxis(quantiles, 1, 2).astype("float32")
    found = {"parameter": np.array(PRIOR.names)}
    filled(folder / "calibration.zarr", arrays | (more or {}), {"flow": FLOW}, found)
    content = json.dumps(verdict(ranks, kept, tarp, PRIOR.names))
    (folder / "calibration.json").write_text(content)


def catalogue(path, prior, rng, ids=IDS, keep_draws=True):
    """Posteriors of four objects, the last without draws."""
    draws = prior.sample(N * 80, rng).reshape(N, 80, -1).astype("float32")
    draws[-1] = np.nan
    draws[0, 60:] = np.nan
    arrays = {
        "id": np.array(ids),
        "zred": np.full(N, 0.1),
        "flags": np.array([0, Flag.ZWARN, 0, Flag.NO_POSTERIOR], "int32"),
        "n_draws": np.array([60, 80, 80, 0], "int32"),
        "chi2": np.array([1.0, 1.1, 0.9, np.nan], "float32"),
        "samples": draws,
    }
    arrays["quantiles"] = np.full((N, len(QUANTILES), len(prior.names)), np.nan, "float32")
    quantiles = np.nanquantile(draws[:-1], list(QUANTILES.values()), axis=1)
    arrays["quantiles"][:-1] = quantiles.swapaxes(0, 1)
    arrays["prior_share"] = np.full((N, len(prior.names)), 0.1, "float32")
    arrays["derived_quantiles"] = rng.lognormal(size=(N, len(QUANTILES), len(QUANTITIES)))
    arrays["derived_prior_share"] = np.full((N, len(QUANTITIES)), 0.25)
    arrays |= {name: rng.lognormal(size=(N, len(BLENDS))) for name in OBSERVED}
    if not keep_draws:
        del arrays["samples"]
    model = Model(prior, GRID, Physics(), SurveyNoise(calibration=0.04)).settings()
    settings = {"flow": {"training": {"simulations": model, "noise": model["noise"]}}}
    filled(path, arrays, settings, notice="")


def spectra(folder, rng):
    """Four observed spectra with masked pixels."""
    flux = (1e4 * (1 + 0.05 * rng.normal(size=(N, GRID.pixels)))).astype("float32")
    ivar = np.full((N, GRID.pixels), 1 / 500.0**2, "float32")
    ivar[:, 30:40] = 0
    flux[:, 33] = np.nan
    files = {f"<b>{i}.fits": {"bytes": i} for i in range(150)}
    settings = {"files": files, "survey": {"name": "sdss"}}
    filled(folder / "spectra.zarr", {"flux": flux, "ivar": ivar}, settings, {"wave": GRID.wave})


def fits(path, rng, rows=12, **settings):
    """Chains of made-up Gaussian posteriors: the first not converged, the second with weak weights,
    the last not fitted; the flow is shifted the more, the larger its Pareto k."""
    width = 0.02 * (PRIOR.high - PRIOR.low)
    middle = PRIOR.coordinates(PRIOR.sample(rows, rng))
    middle = np.clip(middle, PRIOR.low + 5 * width, PRIOR.high - 5 * width)
    noise = rng.normal(size=(3, rows, 300, len(width)))
    shift = np.linspace(1, 0.1, rows)[:, None, None]
    moved = noise * np.array([1, 1, 1.2])[:, None, None, None]
    moved[2] += shift
    draws = PRIOR.theta(middle[:, None] + width * moved).astype("float32")
    arrays = dict(zip(("samples", "reweighted_samples", "flow_samples"), draws, strict=True))
    arrays["wasserstein"] = np.abs(rng.normal([[1], [0.02], [0.03]], 0.01, (rows, 3, len(width))))
    arrays["wasserstein"][:, 0] *= shift[:, 0]
    arrays["width_ratio"] = rng.normal([[1.2], [1], [1]], 0.05, (rows, 3, len(width)))
    arrays["c2st"] = rng.normal([0.7, 0.51, 0.5], 0.01, (rows, 3))
    arrays["pareto_k"] = np.stack([shift[:, 0, 0], np.full(rows, 0.3), np.full(rows, np.nan)], 1)
    arrays["tau"] = rng.uniform(20, 60, (rows, len(width)))
    arrays["rhat"] = rng.uniform(1, 1.009, (rows, len(width)))
    for name in ("wasserstein", "width_ratio", "c2st", "reweighted_samples"):
        arrays[name][1, ...] = np.where(name == "reweighted_samples", np.nan, arrays[name][1])
        if name != "reweighted_samples":
            arrays[name][1, 1] = np.nan
    arrays = {name: values.astype("float32") for name, values in arrays.items()}
    arrays["id"] = np.array([f"galaxy {i}" for i in range(rows)])
    arrays["converged"] = (np.arange(rows) > 0) & (np.arange(rows) < rows - 1)
    arrays["n_steps"] = np.where(np.arange(rows) < rows - 1, 3000, 0).astype("int32")
    known = {"method": np.array(["flow", "reweighted", "halves"])}
    known["parameter"] = np.array(PRIOR.names)
    return filled(path, arrays, {"flow": FLOW, "start": "flow", **settings}, known), arrays


def page_of(folder, beside=None):
    """The page of a run folder, as text."""
    names = ("simulations", "training", "calibration", "spectra", "catalogue", "fits")
    stores = {name: str(folder / f"{name}.zarr") for name in names}
    report(
        out=str(folder / "report.html"),
        flow=str(folder / "flows/a"),
        beside=beside,
        errors=str(folder / "errors.zarr"),
        costs=str(folder / "costs.jsonl"),
        **stores,
    )
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with everything, and its page."""
    folder, rng = tmp_path_factory.mktemp("runs") / "<demo>", np.random.default_rng(0)
    folder.mkdir()
    simulations(folder, rng)
    training(folder)
    table(folder)
    calibration(folder, rng)
    spectra(folder, rng)
    catalogue(folder / "catalogue.zarr", PRIOR, rng)
    catalogue(folder / "beside/catalogue.zarr", OTHER, rng)
    cost = {"stage": "train", "cpu_seconds": 90, "wall_seconds": 45}
    (folder / "costs.jsonl").write_text(f'{json.dumps(cost)}\n{{"stage": "inf')
    return folder, page_of(folder, str(folder / "beside/catalogue.zarr"))


def test_without_draws_the_page_tells_how_to_keep_some(run, tmp_path):
    """Under another name, as a catalogue that is there takes no other settings."""
    catalogue(tmp_path / "catalogue.zarr", PRIOR, np.random.default_rng(0), keep_draws=False)

    page = page_of(tmp_path)

    told = f"infer.out={tmp_path}/catalogue_draws.zarr infer.keep_draws=100"
    assert "No draws were kept" in page and told in page and "python jobs/infer.py" in page
    assert "No draws were kept" not in run[1]


def test_the_page_notes_what_it_was_made_of(run):
    """All that it shows, the verdict and the run beside too, so that an old one is known."""
    folder, page = run
    note = re.search(f'name="{MADE_OF}" content="(.*?)"', page)[1]

    assert why_old(folder / "report.html") == ""
    for name in ("calibration.json", "beside/catalogue.zarr", "flow.safetensors", "errors.zarr"):
        assert f"{name}&#34;" in note


def test_everything_is_on_the_page(run):
    """All figures, both tables, the verdict, the notice and the cost of a whole run are there."""
    page = run[1]

    # spectra, history, three of calibration, and three for each object that has draws; the prior's;
    # planes and stacked residuals
    assert page.count("<img ") == 6 + 2 + 3 * 3
    assert page.count("What follows from the parameters") == 3
    for text in ("NOT FOR SCIENCE", "PASSED", "ZWARN", "NO_POSTERIOR", "1.5 min", "spec-2"):
        assert text in page, text
    assert "1 of 60 rows failed" in page
    assert "over the last quarter of the steps it changed by +2.000 nat" in page
    assert "errors of calibration that suit it best. Residuals" in page
    assert "tage from 0.01 to 13 (here 0.01 to 4), without noise_floor" in page
    assert "1 lines of costs.jsonl are cut short" in page
    assert len(page) < 5e6


def test_the_page_needs_nothing_else(run):
    """There is no address but data and places in the page, and one script, whose digest the page
    asks for.
    """
    page = run[1]

    assert "http:" not in page and "https:" not in page
    links = re.findall(r'(?:src|href)="(.*?)"', page)
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert "url(" not in page and page.count("<script") == 1
    script = re.search("<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in page
    assert not re.search(r"\son\w+=", page)  # no handler in an attribute, which would not run


def test_names_from_files_are_escaped(run):
    """Ids, file names, notices and the run's own name are text, never markup."""
    page = run[1]

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a &amp; b" in page
    assert "&lt;b&gt;7.fits" in page
    assert "&lt;i&gt;not&lt;/i&gt;" in page
    assert "hpcsbi: &lt;demo&gt;" in page


@pytest.mark.slow
def test_same_run_same_page(run):
    """The page of a run that has not changed is the same, byte for byte."""
    folder, page = run

    assert page == page_of(folder, str(folder / "beside/catalogue.zarr"))


def test_an_empty_run_has_a_page(tmp_path):
    """With nothing there the page says which job makes each part, and shows no figure."""
    page = page_of(tmp_path, str(tmp_path / "beside/catalogue.zarr"))

    for job in ("simulate", "augment", "train", "calibrate", "infer", "fit"):
        assert page.count(f"run jobs/{job}.py") == 1, job
    assert "<img " not in page and "NOT FOR SCIENCE" not in page


def test_a_failed_calibration_is_told_in_full(tmp_path):
    """A posterior half as wide as it should be fails on the page, with the parameters named."""
    calibration(tmp_path, np.random.default_rng(0), width=0.5)

    page = page_of(tmp_path)

    assert "FAILED" in page and "PASSED" not in page
    assert "ranks of tage are not uniform: KS p = " in page


def test_the_score_is_that_of_all_spectra(tmp_path):
    """As in the terminal and in the sweep: what the verdict leaves out has a density, too."""
    rng = np.random.default_rng(0)
    more = {"log_prob": rng.normal(3.0, 1.0, 200), "possible": np.arange(200) % 4 > 0}
    more["log_prob"][~more["possible"]] -= 2
    calibration(tmp_path, rng, more=more)

    page = page_of(tmp_path)

    assert f"{more['log_prob'].mean():.3f} nat" in page and "149, and 1 without" in page


@pytest.mark.slow
def test_missing_shards_and_missing_pieces_are_told(tmp_path, run):
    """Without table, draws or a whole catalogue the page shows the rest and says what lacks."""
    shutil.copytree(run[0] / "catalogue.zarr", tmp_path / "catalogue.zarr")
    shutil.copytree(run[0] / "spectra.zarr", tmp_path / "spectra.zarr")
    (tmp_path / "simulations.zarr").mkdir()
    store = create(tmp_path / "training.zarr", {"x": Array({"row": 9}, "int8")}, {}, 3)
    (tmp_path / "calibration.json").write_text("{")

    page = page_of(tmp_path)

    # Planes, histories and corner plots; predicted spectra need the table.
    assert page.count("<img ") == 1 + 2 * 3
    assert "not a Zarr store" in page or "none of hpcsbi" in page
    assert f"{store.path.name} has no finished shard yet" in page
    assert "calibration.json cannot be read" in page


def test_a_catalogue_of_other_spectra_is_not_shown_beside(tmp_path, run):
    """A second catalogue whose ids differ is left out, and the page says so."""
    shutil.copytree(run[0] / "catalogue.zarr", tmp_path / "catalogue.zarr")
    other = tmp_path / "other/catalogue.zarr"
    catalogue(other, OTHER, np.random.default_rng(1), ["w", "x", "y", "z"])

    page = page_of(tmp_path, str(other))

    assert "is not of the same spectra" in page
    assert "Second lines" not in page


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A run with nothing but fits and costs: its store's arrays and its page."""
    folder = tmp_path_factory.mktemp("fitted")
    _, arrays = fits(folder / "fits.zarr", np.random.default_rng(0))
    spent = {"tabulate": 10, "simulate": 20, "augment": 5, "train": 65}
    costs = [
        {"stage": stage, "cpu_seconds": cost, "wall_seconds": 1} for stage, cost in spent.items()
    ]
    steps = {"fit: chain": 55.0, "fit: flow": 0.55, "fit: weights": 0.55}
    rates = [{"stage": name, "rows": 11, "worker_seconds": cost} for name, cost in steps.items()]
    for name, lines in (("costs", costs), ("rates", rates)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return arrays, page_of(folder)


def test_fitted_objects_have_their_figures(fitted):
    """Six corner plots and the scatter are there, the chain that has not converged among them."""
    page = fitted[1]

    assert page.count("<img ") == 6 + 1
    assert "11 objects were sampled by emcee" in page and "10 chains have converged" in page
    assert "in no number below: galaxy 0." in page
    assert "galaxy 0: <span" in page and "galaxy 1: converged" in page
    assert page.count("There are no draws of: re-weighted.") == 1
    assert "galaxy 11" not in page  # not fitted
    assert "in the flow's base space" in page.replace("&#39;", "'")
    assert len(page) < 6e6


def test_table_of_fits_is_that_of_the_store(fitted):
    """Each number of the table, done by hand from the store's arrays over converged objects."""
    arrays, page = fitted
    good = arrays["converged"]

    for i in range(len(PRIOR.names)):
        cells = []
        for j in range(3):
            distance = arrays["wasserstein"][good, j, i]
            distance = np.sort(distance[~np.isnan(distance)])
            n = len(distance)
            median = (distance[(n - 1) // 2] + distance[n // 2]) / 2
            cells.append(f"{median:.3f} ({distance[-1]:.3f})")
        for j in range(3):
            low, median, high = np.nanpercentile(arrays["width_ratio"][good, j, i], [16, 50, 84])
            cells.append(f"{median:.2f} ({low:.2f} to {high:.2f})")
        row = re.search(
            f'<tr><th scope="row">{re.escape(parameter(PRIOR.names[i]).header)}</th>(.*)</tr>', page
        )[1]
        assert re.findall("<td.*?>(.*?)</td>", row) == cells
    c2st = arrays["c2st"][good]
    for j in range(3):
        assert f"{np.nanmedian(c2st[:, j]):.3f} ({np.nanmax(c2st[:, j]):.3f})" in page
    counts = '<td class="n">10</td><td class="n">9</td><td class="n">10</td>'
    assert f'<th scope="row">objects</th>{counts}' in page


def test_certificate_and_costs_are_told(fitted):
    """Shifted flows have a high rank correlation with k; the break-even number has its formula."""
    arrays, page = fitted[0], fitted[1].replace("&#39;", "'")

    distances = arrays["wasserstein"][arrays["converged"]].max(-1)
    close = distances[:, :2] <= distances[:, 2:] + 0.02
    assert f"re-weighted draws of {close[:, 1].sum()} among 9 objects" in page
    assert f"the flow's of {close[:, 0].sum()} among 10." in page
    rho = float(re.search(r"([-\d.]+) with the distance of the flow \(n = 10\)", page)[1])
    assert rho > 0.9
    assert "re-weighted draws (n = 9)" not in page  # fewer than ten
    assert '<th scope="row">the chain</th><td class="n">5 s</td><td class="n">11</td>' in page
    assert "from 21 galaxies on" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "text"),
    [({"engine": "prospector"}, "FSPS itself"), ({"likelihood": "given"}, "need not agree")],
)
def test_settings_that_forbid_agreement_are_told(tmp_path, settings, text):
    """Chains of another likelihood than the flow's say so; without costs there is a sentence."""
    fits(tmp_path / "fits.zarr", np.random.default_rng(0), 3, **settings)

    page = page_of(tmp_path)

    assert text in page
    assert "costs are missing: costs.jsonl has none of tabulate" in page
    assert "rank correlation" not in page


def test_no_converged_chain_no_table(tmp_path):
    """A chain that has not converged is drawn and named, and there is no table and no scatter."""
    fits(tmp_path / "fits.zarr", np.random.default_rng(0), 2)

    page = page_of(tmp_path)

    assert "0 chains have converged" in page and page.count("<img ") == 1
    assert "median (worst)" not in page


@pytest.mark.slow
def test_fits_of_another_flow_are_told(tmp_path):
    """Chains that another flow was compared with are not taken for those of this run's."""
    training(tmp_path)
    for flow, told in ((FLOW, False), (FLOW | {"steps": 7}, True)):
        fits(tmp_path / "fits.zarr", np.random.default_rng(0), flow=flow)
        assert ("is of another flow than a." in page_of(tmp_path)) == told
        shutil.rmtree(tmp_path / "fits.zarr")


def test_fits_without_comparison_are_told(tmp_path):
    """A store of before the comparison, and one without a single fit, are notes."""
    filled(tmp_path / "fits.zarr", {"n_steps": np.ones(2, "int32")}, {"flow": FLOW})

    assert "fits.zarr compares nothing" in page_of(tmp_path)
