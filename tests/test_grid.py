import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from hpcsbi.cluster.executors import Serial
from hpcsbi.flags import Flag
from hpcsbi.grid import REFERENCE_WIDTH, Grid, fewest_pixels, rows_at_once
from hpcsbi.stages.calibrate import calibrate
from hpcsbi.stages.infer import infer
from hpcsbi.stages.ingest import ingest
from hpcsbi.stages.report import report
from hpcsbi.store.opening import open_complete
from hpcsbi.survey.readers.formats import Survey

LIGHT = 299792.458  # km/s


def test_default_is_that_of_the_paper():
    """138 pixels whose centres run from 3750 to 9500 Angstrom, the ruler of what is per pixel."""
    assert np.array_equal(Grid().wave, np.linspace(3750, 9500, 138))
    assert np.array_equal(Grid().widths, np.full(138, REFERENCE_WIDTH))


@given(
    first=st.floats(1000, 9000),
    width=st.floats(2, 60),
    pixels=st.integers(20, 250),
    spacing=st.sampled_from(["linear", "log"]),
)
def test_pixels_tile_the_range(first, width, pixels, spacing):
    """Edges enclose the centres, and the fine points of a pixel tell its mean, not a centre's."""
    grid = Grid(first, first + width * pixels, pixels, "mean", spacing)
    low, high = grid.edges[:-1], grid.edges[1:]

    assert np.allclose(grid.wave[[0, -1]], [first, first + width * pixels])
    assert np.allclose(high - low, grid.widths) and len(grid.widths) == pixels
    assert ((low < grid.wave) & (grid.wave < high)).all()
    assert np.allclose(grid.fine.mean(1), (low + high) / 2)
    assert (grid.fine > low[:, None]).all() and (grid.fine < high[:, None]).all()
    assert np.allclose(np.diff(grid.fine, axis=1), grid.widths[:, None] / grid.fine.shape[1])


@given(pixels=st.integers(20, 1500), first=st.floats(1000, 4000))
def test_logarithmic_pixels_have_one_velocity_width(pixels, first):
    """Edges and centres are equal steps in ln(wavelength); no equal pixels are."""
    grid = Grid(first, first + 5000, pixels, spacing="log")
    steps = np.diff(np.log(grid.edges))

    assert np.allclose(steps, steps[0], rtol=1e-9)
    assert np.allclose(np.log(grid.wave), (np.log(grid.edges[1:]) + np.log(grid.edges[:-1])) / 2)
    assert grid.widths[-1] > 1.5 * grid.widths[0] and np.ptp(Grid(first, 9500, 99).widths) == 0


@pytest.mark.parametrize(
    ("grid", "dispersion"),
    [
        (Grid(), 350),
        (Grid(pixels=1151), 100),
        (Grid(pixels=1347, spacing="log"), 100),
        (Grid(pixels=300, spacing="log"), 350),
    ],
)
def test_fine_points_integrate_the_narrowest_line(grid, dispersion):
    """The mean over fine points of a line is that of its integral, wherever the line lies."""
    for at in (0, grid.pixels // 2):
        low, high = grid.edges[at], grid.edges[at + 2]
        for centre in np.linspace(low, high, 17):
            sigma = centre * dispersion / LIGHT
            exact = np.diff(norm.cdf(grid.edges, centre, sigma)) / grid.widths
            mean = norm.pdf(grid.fine, centre, sigma).mean(1)
            assert abs(mean - exact).max() < 0.01 * exact.max()
            point = norm.pdf(grid.wave, centre, sigma)  # control: centres alone do not
    assert abs(point - exact).max() > 0.01 * exact.max()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pixels": 10}, "at least 20 pixels"),
        ({"first": 9500, "last": 3750}, "between 1000 and 25000"),
        ({"sampling": "median"}, r"grid\.sampling is 'median': choose from mean, point"),
        ({"spacing": "lin"}, r"grid\.spacing is 'lin': choose from linear, log"),
        ({"pixels": 137.5}, r"grid\.pixels is 137\.5: a whole number"),
        ({"first": float("nan")}, r"grid\.first is nan: a number"),
        ({"pixels": 7000}, r"0\.82 Angstrom are narrower than those of FSPS's library, 0\.9"),
        ({"pixels": 4000, "spacing": "log"}, r"0\.87 Angstrom are narrower"),
        ({"pixels": 12000, "last": 25000}, r"grid\.pixels is 12000: a table holds up to 10000"),
    ],
)
def test_bad_grids_are_refused(settings, words):
    """What is no grid, or one that neither library nor memory holds, has its own line."""
    with pytest.raises(ValueError, match=words):
        Grid(**settings)


@pytest.mark.parametrize("spacing", ["linear", "log"])
def test_settings_make_an_equal_grid(spacing):
    """What travels in the stores is enough; of equal pixels it is what it was before others."""
    grid = Grid(4000, 7000, 600, "point", spacing)

    assert Grid(**grid.settings()) == grid
    assert list(Grid().settings()) == ["first", "last", "pixels", "sampling"]


def test_as_large_a_share_of_more_pixels_is_needed():
    """20 of up to 138; of equal pixels beyond that the same stretch of wavelengths."""
    assert [fewest_pixels(n) for n in (20, 138, 1380)] == [20, 20, 200]
    assert fewest_pixels(1151) * 5 == pytest.approx(20 * REFERENCE_WIDTH, rel=0.01)
    assert fewest_pixels(276, 60) == 120


@given(rows=st.integers(1, 10**6), pixels=st.integers(20, 10_000))
def test_rows_of_any_pixels_take_no_more_memory(rows, pixels):
    """As many numbers at most, and as nearly as whole rows allow; never none."""
    some = rows_at_once(rows, pixels)

    assert 1 <= some <= rows
    assert some == 1 or some * max(pixels, 138) <= rows * 138
    assert some == rows or (some + 1) * pixels > rows * 138


@pytest.mark.slow
def test_a_run_on_logarithmic_pixels(tmp_path):
    """From the table to the page on 300 pixels: three real galaxies have posteriors and figures.

    Simulated ones are certified by the exact likelihood of the same pixels.
    """
    grid = Grid(pixels=300, spacing="log")
    table = tiny.table_on(grid, tmp_path / "ssp.zarr")
    pairs = tiny.pairs(tmp_path, survey=True, grid=grid, table=table, test=40)
    flow = tiny.trained(tmp_path, pairs, table, representation="projection", steps=400)
    names = ("simulations", "training", "calibration", "spectra", "catalogue", "fits", "errors")
    paths = {name: str(tmp_path / f"{name}.zarr") for name in names} | {"flow": str(flow)}
    nuclei = str(tiny.TABLE.parent / "sdss_nuclei.fits.gz")
    calibrate(paths["calibration"], paths["flow"], str(pairs), 200, 20, 100, 0, Serial())
    ingest(paths["spectra"], nuclei, Survey("table"), grid, 4, Serial())
    infer(paths["catalogue"], paths["flow"], paths["spectra"], 200, 50, 100, True, 8, 0, Serial())
    report(str(tmp_path / "report.html"), **paths, beside=None, costs=str(tmp_path / "costs.jsonl"))

    spectra = open_complete(paths["spectra"], "ingest")
    catalogue = open_complete(paths["catalogue"], "infer")
    calibration = open_complete(paths["calibration"], "calibrate")
    assert spectra.read("flux").shape == (3, 300) and (spectra.read("n_pixels") > 270).all()
    assert not (spectra.read("flags") & int(Flag.NO_DATA | Flag.LOW_SN | Flag.COVERAGE)).any()
    assert (catalogue.read("n_draws") > 0).all() and np.isfinite(catalogue.read("quantiles")).all()
    assert calibration.read("reweighted").mean() > 0.5


@pytest.mark.parametrize("grid", [Grid(), Grid(pixels=1151), Grid(pixels=300, spacing="log")])
def test_points_are_as_close_as_narrow_lines_ask(grid):
    """A line of 50 km/s keeps its light to a hundredth in every pixel it fills, on finer points."""
    sums = []
    for points in (grid.fine_for(50.0), grid.fine):
        steps = grid.widths / points.shape[1]
        errors = []
        for shift in np.linspace(0, 1, 7):
            centre = points[3, points.shape[1] // 2] + shift * steps[3]
            sigma = centre * 50.0 / 299792.458
            line = np.exp(-0.5 * ((points - centre) / sigma) ** 2).sum(1) * steps
            errors.append(line[2:5].sum() / (sigma * np.sqrt(2 * np.pi)) - 1)
        sums.append(np.abs(errors).max())

    assert sums[0] < 1e-2
    assert grid.fine_for(2000.0).shape == grid.fine.shape
    assert grid != Grid() or sums[1] > 0.05  # negative control
