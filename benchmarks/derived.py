"""Derived quantities against python-fsps itself, and what they cost.

    SPS_HOME=... python benchmarks/derived.py TABLE [--prior survey] [--draws 200]

TABLE is of the physics that goes with the prior's dust.

FSPS is asked directly, without Prospector or this package: its surviving mass, its mean rates of
star formation, its lines and spectrum. Ages and times come from the numerical integral of the
history. For each quantity: the largest deviation and that of 99 % of the draws, relative but for
logarithms; of lines those whose width a spectrum could show (above 0.1 Angstrom).
"""

import argparse
import time
from pathlib import Path

import fsps
import numpy as np
import torch
import yaml

from hpcsbi.run.flows import load_derived, load_engine
from hpcsbi.simulator.galaxy.histories import History, family_of
from hpcsbi.simulator.table.derived import QUANTITIES, DerivedQuantities
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.opening import open_store

ROOT = Path(__file__).resolve().parents[1]
AIR_BANDS = ((3850.0, 3950.0), (4000.0, 4100.0))
LINES = {
    "oii_3726_3729": (3727.1, 3729.9), "hbeta": (4862.7,), "oiii_5007": (5008.2,),
    "halpha": (6564.6,), "nii_6584": (6585.3,), "sii_6717_6731": (6718.3, 6732.7),
}  # fmt: skip
SHOWN = 0.1  # Angstrom
V_BAND = 5500.0  # Angstrom


def main() -> None:
    """Print one line for each quantity."""
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("--prior", default="survey")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    columns = yaml.safe_load((ROOT / f"conf/prior/{arguments.prior}.yaml").read_text())["columns"]
    prior = Prior(columns)
    theta = prior.sample(arguments.draws, np.random.default_rng(arguments.seed))
    quantities = load_derived(arguments.table, load_engine(arguments.table, prior))
    physics = open_store(arguments.table).settings["physics"]
    values = quantities(theta, prior.names)
    population = fsps.StellarPopulation(
        zcontinuous=1, sfh=4, imf_type=physics["imf_type"], dust_type=physics["dust_type"],
        add_neb_emission=True, gas_logu=physics["gas_logu"], nebemlineinspec=False,
        add_dust_emission=False,
    )  # fmt: skip
    rows = [dict(zip(prior.names, row, strict=True)) for row in theta.tolist()]
    history = family_of(prior.names)
    expected = np.array([of_fsps(population, history, row) for row in rows])
    print(f"{'quantity':24s} {'largest':>9s} {'99 %':>9s} {'draws':>6s}")
    for name, *figures in deviations(values, expected):
        print("{:24s} {:9.1e} {:9.1e} {:6d}".format(name, *figures))
    print(f"{cost(quantities, prior):.2f} CPU ms for 1000 draws")


def formed_mass(population, history: type[History], row: dict[str, float]) -> np.ndarray:
    """Gyr since the first star, and the share formed until then; `population` is set to it."""
    tage = row["tage"]
    t = np.linspace(0, tage, 200_001)
    if "tau" in row:
        population.params["tau"] = row["tau"]
        formed = np.concatenate([[0.0], np.cumsum(middle(t * np.exp(-t / row["tau"])))])
        return t, formed / formed[-1]
    edges = 10 ** history.prospector(row)["agebins"][:, 1] / 1e9
    ends = np.append(0.0, edges)
    column = {name: torch.tensor([value], dtype=torch.float64) for name, value in row.items()}
    share = history.bins_of(column).share[0].numpy()
    # As tables of FSPS: the rate just after and just before each end, oldest first, M_sun / yr.
    rate = np.repeat((share / (np.diff(ends) * 1e9))[::-1], 2)
    time = np.repeat(tage - ends[::-1], 2)[1:-1] + np.tile([1e-6, -1e-6], len(share))
    population.params["sfh"] = 3
    population.set_tabular_sfh(time.clip(0, None), rate)
    t = np.union1d(t, (tage - np.append(ends, 0.1)).clip(0))
    return t, 1 - np.interp(tage - t, ends, np.append(0.0, share.cumsum()))


def of_fsps(population, history: type[History], row: dict[str, float]) -> np.ndarray:
    """The same quantities by FSPS and by sums over the history, in the order of QUANTITIES."""
    tage, mass = row["tage"], 10 ** row["logmass"]
    population.params["logzsol"] = row["logzsol"]
    t, formed = formed_mass(population, history, row)
    population.params["gas_logz"] = row.get("gas_logz", row["logzsol"])
    if "gas_logu" in row:
        population.params["gas_logu"] = row["gas_logu"]
    population.params["dust_index"] = row.get("dust_index", -0.7)
    dust1 = row["dust2"] * row.get("dust1_fraction", 0.0)
    clear, diffuse, per_hertz = (
        behind(population, tage, dust2, cloud)
        for dust2, cloud in ((0.0, 0.0), (row["dust2"], 0.0), (row["dust2"], dust1))
    )
    wave = population.wavelengths
    lost = np.interp(V_BAND, wave, np.log10(clear / diffuse))
    surviving = population.stellar_mass
    recent = [(1 - np.interp(tage - dt, t, formed)) / (dt * 1e9) for dt in (0.01, 0.1)]
    if "tau" in row:
        recent = [
            float(population.sfr_avg(dt=dt)) if tage > dt else 1 / (dt * 1e9) for dt in (0.01, 0.1)
        ]
    mean = np.sum(np.diff(formed) * (tage - middle(t)))
    break_blue, break_red = (beside(wave, per_hertz, [vacuum(band)]) for band in AIR_BANDS)
    per_angstrom = per_hertz * 2.998e18 / wave**2
    lines, centres = population.emline_luminosity, population.emline_wavelengths
    luminosity, width = [], []
    for line in LINES.values():
        number = [int(np.abs(centres - x).argmin()) for x in line]
        light = sum(lines[i] for i in number) * row["line_strength"]
        sides = [(line[0] - 50, line[0] - 20), (line[-1] + 20, line[-1] + 50)]
        luminosity.append(light)
        width.append(light / beside(wave, per_angstrom, sides))
    return np.array(
        [
            row["logmass"] + np.log10(surviving),
            *(mass * rate for rate in recent),
            recent[1] / surviving,
            mean,
            *(tage - np.interp(share, formed, t) for share in (0.5, 0.9)),
            2.5 * lost,
            2.5 * lost + 1.0857 * dust1,  # clouds have an optical depth of dust1 there
            break_red / break_blue,
            *(mass * light for light in luminosity),
            *width,
        ]
    )


def behind(population, tage: float, dust2: float, dust1: float) -> np.ndarray:
    """Flux behind these depths of dust, per Hertz; lines are those of the last one asked for."""
    population.params["dust2"], population.params["dust1"] = dust2, dust1
    return population.get_spectrum(tage=tage)[1].copy()


def middle(values: np.ndarray) -> np.ndarray:
    """Means of neighbours."""
    return (values[1:] + values[:-1]) / 2


def vacuum(band: tuple[float, float]) -> tuple[float, ...]:
    """Wavelengths in vacuum of those in air (Morton 1991, to 0.01 Angstrom)."""
    return tuple(x * (1 + 2.735182e-4 + 131.4182 / x**2 + 2.76249e8 / x**4) for x in band)


def beside(wave: np.ndarray, flux: np.ndarray, bands: list[tuple[float, ...]]) -> float:
    """Mean flux over bands of equal widths."""
    points = [np.linspace(*band, 4001) for band in bands]
    return float(np.mean([np.interp(middle(some), wave, flux).mean() for some in points]))


def deviations(values: np.ndarray, expected: np.ndarray) -> list[tuple[str, float, float, int]]:
    """Of each quantity its name, largest and 99 % deviation, and the draws compared."""
    names = [quantity.name for quantity in QUANTITIES]
    column = dict(zip(names, expected.T, strict=True))
    lines = []
    for i, quantity in enumerate(QUANTITIES):
        good = np.ones(len(values), bool)
        if quantity.name.endswith(("_luminosity", "_ew")):
            good = column[quantity.name.replace("_luminosity", "_ew")] > SHOWN
        elif "sfr" in quantity.name:  # FSPS takes differences of numbers near one
            good = column["ssfr_100myr"] > 1e-15
        deviation = np.abs(values[good, i] - expected[good, i])
        if not quantity.name.startswith("log"):
            deviation = deviation / expected[good, i]
        figures = float(deviation.max()), float(np.percentile(deviation, 99))
        lines.append((quantity.name, *figures, int(good.sum())))
    return lines


def cost(quantities: DerivedQuantities, prior: Prior) -> float:
    """CPU milliseconds for 1000 draws."""
    theta = prior.sample(1000, np.random.default_rng(0))
    quantities(theta, prior.names)
    start = time.process_time()
    for _ in range(20):
        quantities(theta, prior.names)
    return (time.process_time() - start) / 20 * 1e3


if __name__ == "__main__":
    main()
