"""Derived quantities on the page: an object's table, and what the prior believes."""

import numpy as np

from hpcsbi.inference.sampling.certificate import QUANTILES
from hpcsbi.report import derived_section
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.table.derived import QUANTITIES

NAMES = [quantity.name for quantity in QUANTITIES]
RNG = np.random.default_rng(0)


def test_a_row_tells_median_interval_and_share():
    """In the order of the quantities, numbers to three digits, more than all is all."""
    quantiles = np.arange(1.0, 6.0)[:, None] * 10.0 ** np.arange(len(NAMES))
    shares = np.full(len(NAMES), 0.031)
    shares[2] = 1.04
    lines = np.full((3, len(BLENDS)), np.nan)
    lines[:, 1] = 1000.0, 50.0, 3.25
    rows = derived_section.rows(quantiles, shares, *lines)

    assert [row["name"] for row in rows[:-1]] == [quantity.header for quantity in QUANTITIES]
    assert (rows[-1]["p16"], rows[-1]["p50"], rows[-1]["p84"]) == ("950", "1e+03", "1.05e+03")
    assert rows[-1]["name"] == "observed L Hβ [Lsun]" and "3.25 Å" in rows[-1]["meaning"]
    assert (rows[1]["p16"], rows[1]["p50"], rows[1]["p84"]) == ("20", "30", "40")
    assert rows[1]["share"] == "3 %" and rows[2]["share"] == "100 %"
    assert all(row["meaning"] for row in rows)


def test_without_numbers_there_is_no_table():
    """A catalogue without a table, and a row without a posterior."""
    nothing = np.full((len(QUANTILES), len(NAMES)), np.nan)

    assert derived_section.rows(*[None] * 5) == []
    assert derived_section.rows(nothing, nothing[0], *[np.full(len(BLENDS), np.nan)] * 3) == []


def test_the_prior_is_drawn_without_what_is_too_small_to_draw():
    """Of a rate below the axis the share is told, and the bars are of the others."""
    values = RNG.lognormal(size=(400, len(NAMES)))
    values[:100, NAMES.index("ssfr_100myr")] = 0.0
    figure = derived_section.induced_prior(values)
    axes = {ax.get_xlabel(): ax for ax in figure.axes}

    assert len(axes) == 8 and "Dn4000" in axes
    [text] = axes["log sSFR 100 Myr [1/yr]"].texts
    assert text.get_text() == "25 % below 1e-15"
    assert not list(axes["A_V [mag]"].texts) and all(ax.patches for ax in axes.values())
    assert derived_section.prior_picture(values).startswith("data:image/svg+xml;base64,")
