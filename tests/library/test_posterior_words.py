"""What print shows: every number that tells a slip of unit, mask or prior."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from hpcsbi.library.posterior_words import in_words


def posterior(**changes):
    levels = ["p2_5", "p16", "p50", "p84", "p97_5"]
    told = {
        "name": "NGC 1",
        "zred": 0.0123456789,
        "quantiles": pd.DataFrame({"tage": [1.0, 2.0, 3.0, 4.0, 5.0]}, index=levels),
        "flux": np.array([5.0, 1.0, 2.0, 3.0]),
        "ivar": np.array([0.0, 1.0, 1.0, 1.0]),
        "certificate": {"origin": "reweighted", "ess": 400.123},
        "checks": {"chi2": 1.0, "predictive_p": 0.4},
        "flags": {"EDGE": "piles up"},
        "notice": "Not for science.",
    }
    return SimpleNamespace(**(told | changes))


def test_a_line_for_each_thing():
    """Masked pixels do not count; a notice stands at the end, and nowhere if there is none."""
    assert in_words(posterior()).splitlines() == [
        "Posterior of NGC 1 at z = 0.0123457",
        "  tage 2 3 4  (p16, p50, p84)",
        "  3 of 4 pixels are valid, their median flux is 2 L_sun / Angstrom",
        "  origin reweighted, ess 400.1",
        "  chi2 1, predictive_p 0.4",
        "  EDGE: piles up",
        "  Not for science.",
    ]
    assert in_words(posterior(notice="", flags={})).splitlines()[-1].startswith("  chi2")
