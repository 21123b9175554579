"""Groups, dimensions and attributes that ArviZ looks for."""

import numpy as np

from hpcsbi.library.inference_data import inference_data

RNG = np.random.default_rng(0)


def test_groups_hold_what_is_given():
    """One chain of all draws, by name; the spectrum along its wavelengths."""
    draws, log_prob = RNG.normal(size=(50, 2)), RNG.normal(size=50)
    observed = {name: RNG.uniform(1, 2, 7) for name in ("wave", "flux", "ivar")}
    tree = inference_data(("tage", "tau"), draws, log_prob, observed, {"ess": 40.0, "id": "a"})

    assert {*tree.children} == {"posterior", "sample_stats", "observed_data"}
    assert dict(tree["posterior"].sizes) == {"chain": 1, "draw": 50}
    for i, name in enumerate(("tage", "tau")):
        assert np.array_equal(tree["posterior"][name].values, draws[None, :, i])
    assert np.array_equal(tree["sample_stats"]["lp"].values, log_prob[None])
    seen = tree["observed_data"]
    assert np.array_equal(seen.coords["wave"], observed["wave"])
    assert np.array_equal(seen["flux"].values, observed["flux"])
    assert tree["posterior"].attrs == {"ess": 40.0, "id": "a"}
