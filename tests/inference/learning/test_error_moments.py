"""What objects say together: whatever their order, and each as much as it weighs."""

import numpy as np
from known_error import MEAN, TEMPLATES, WAVE, N, likelihood

from hpcsbi.inference.learning.error_moments import error_moments, object_weights
from hpcsbi.simulator.table.batch import Batch


def test_the_order_of_objects_does_not_matter(engine, known):
    """But for rounding; who has no weight has no say at all."""
    spectra, theta, _ = known
    one, weights = likelihood(engine, MEAN, TEMPLATES), np.linspace(0, 1, N)
    back = np.arange(N)[::-1]
    forward = error_moments(one, spectra, theta, weights)
    backward = error_moments(one, spectra[back], theta[back], weights[back])

    for name, values in vars(forward).items():
        np.testing.assert_allclose(values, getattr(backward, name), rtol=1e-9, atol=1e-9)
    some = np.arange(N) < 100
    whole = error_moments(one, spectra, theta, some.astype(float))
    part = error_moments(one, spectra[some], theta[some], np.ones(100))
    np.testing.assert_allclose(whole.normal, part.normal, rtol=1e-9)


def test_objects_that_the_model_cannot_make_have_little_say(engine, known):
    """Two per cent of quasars; galaxies keep theirs."""
    spectra, theta, _ = known
    odd = np.arange(N) < 6
    flux = np.where(odd[:, None], spectra.flux * (1 + 0.5 * np.sin(WAVE / 90)), spectra.flux)
    mixed = Batch(flux.astype(np.float32), spectra.ivar, spectra.seeds)
    weights = object_weights(likelihood(engine, MEAN, TEMPLATES), mixed, theta)

    assert weights[odd].max() < 0.1 and (weights[~odd] == 1).mean() > 0.98
