"""What the page says of derived quantities: of an object, and of the prior before any spectrum."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hpcsbi.inference.columns.observed_lines import OBSERVED
from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.report import page
from hpcsbi.report.diagnostic_plots import BLUE, styled
from hpcsbi.report.tables import number
from hpcsbi.simulator.galaxy.indices import BLENDS, LABELS
from hpcsbi.simulator.table.derived import QUANTITIES

__all__ = ["ARRAYS", "induced_prior", "prior_picture", "rows"]

ARRAYS = ("derived_quantiles", "derived_prior_share", *OBSERVED)  # of a catalogue, for `rows`

# Those that no mass scales; where the logarithm is drawn, from which value on.
DRAWN = {
    "ssfr_100myr": 1e-15, "mass_weighted_age": None, "t50": None, "t90": None, "av": None,
    "dn4000": None, "halpha_ew": 1e-2, "oiii_5007_ew": 1e-2,
}  # fmt: skip
COLUMNS = 4


def rows(
    quantiles: np.ndarray | None,
    shares: np.ndarray | None,
    luminosity: np.ndarray | None,
    error: np.ndarray | None,
    width: np.ndarray | None,
) -> list[dict]:
    """Rows of an object's table; none where the catalogue has no derived quantities.

    Arguments:
        quantiles: at the levels of QUANTILES, shape (levels, quantities).
        shares: of the prior, shape (quantities,), see `prior_shares`.
        luminosity, error, width: of the observed lines, shape (blends,), see OBSERVED.
    """
    if quantiles is None or not np.isfinite(quantiles).any():
        return []
    percentiles = dict(zip(QUANTILES, quantiles, strict=True))
    of_model = [
        {"name": quantity.header, "meaning": quantity.meaning}
        | {level: number(float(percentiles[level][i])) for level in ("p16", "p50", "p84")}
        | {"share": f"{100 * min(float(shares[i]), 1.0):.0f} %"}
        for i, quantity in enumerate(QUANTITIES)
    ]
    return of_model + [
        _observed_row(blend, *values)
        for blend, *values in zip(BLENDS, luminosity, error, width, strict=True)
        if np.isfinite(values).all()
    ]


def _observed_row(blend: str, luminosity: float, error: float, width: float) -> dict:
    """A blend's luminosity less and more its error, and its equivalent width in words."""
    ends = {"p16": luminosity - error, "p50": luminosity, "p84": luminosity + error}
    return {
        "name": f"observed L {LABELS[blend]} [Lsun]",
        "meaning": f"above the spectrum without lines; equivalent width {number(width)} Å",
        "share": "",
    } | {level: number(float(value)) for level, value in ends.items()}


def prior_picture(values: np.ndarray) -> str:
    """`induced_prior` as an address that holds its bytes."""
    return page.picture(induced_prior(values))


@styled
def induced_prior(values: np.ndarray) -> Figure:
    """Distributions of derived quantities over draws of the prior.

    Arguments:
        values: of QUANTITIES, shape (n, quantities).
    """
    drawn = [(i, each) for i, each in enumerate(QUANTITIES) if each.name in DRAWN]
    bands = -(-len(drawn) // COLUMNS)
    figure = Figure(figsize=(2.5 * COLUMNS, 2.0 * bands), layout="constrained")
    for axes, (i, quantity) in zip(figure.subplots(bands, COLUMNS).flat, drawn, strict=True):
        least, column, title = DRAWN[quantity.name], values[:, i], quantity.header
        if least is not None:
            below = float((column < least).mean())
            column, title = np.log10(np.maximum(column, least)), f"log {title}"
            axes.text(
                0.03,
                0.9,
                f"{100 * below:.0f} % below {least:g}",
                transform=axes.transAxes,
                fontsize=7,
            )
            column = column[column > np.log10(least)]
        axes.hist(column, 40, histtype="stepfilled", color=BLUE, alpha=0.75)
        axes.set(xlabel=title, yticks=[])
        axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure
