"""The model of a product is that of the flow or the pairs behind it, whole, at any depth."""

import json
from dataclasses import replace

import pytest
import tiny

from hpcsbi.errors import BadInput
from hpcsbi.grid import Grid
from hpcsbi.simulator.galaxy.physics import Physics
from hpcsbi.simulator.model import Model
from hpcsbi.simulator.observation.noise import FractionalNoise, SurveyNoise
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.store.settings import Settings

NEAR = Model(tiny.prior(survey=True), Grid(pixels=200), Physics(dust_type=0), SurveyNoise())
FAR = Model(Prior({"tage": {"low": 0, "high": 13}}), Grid(), Physics(), FractionalNoise())


def pairs(model):
    """Settings of a store of pairs, as they come back from the store."""
    settings = model.settings()
    noise = settings.pop("noise")
    return json.loads(json.dumps({"simulations": settings, "noise": noise, "seed": 0}))


def flow(model):
    """Settings of a flow."""
    return {"training": pairs(model), "flow": {"network": "zuko_maf"}, "steps": 10}


@pytest.mark.parametrize(
    "settings",
    [
        pairs(NEAR),
        flow(NEAR),
        {"flow": flow(NEAR), "spectra": {"grid": FAR.settings()["grid"]}},  # a catalogue
        {"flow": flow(NEAR), "pairs": pairs(FAR)},  # a calibration
    ],
)
def test_model_is_read_from_any_product(settings):
    """Order of columns, bounds, grid, physics and noise: everything is as it went in."""
    model = Model.of(settings)

    assert model == NEAR != FAR
    assert model.prior.names == NEAR.prior.names
    assert json.dumps(model.settings()) == json.dumps(NEAR.settings())


def test_simulations_have_no_noise():
    """They are what a spectrum is before any instrument."""
    settings = NEAR.settings()
    del settings["noise"]

    assert Model.of(settings) == Model(NEAR.prior, NEAR.grid, NEAR.physics, None)


@pytest.mark.parametrize("settings", [{}, {"survey": {}, "grid": Grid().settings()}])
def test_other_products_have_no_model(settings):
    """A store of spectra tells nothing of how spectra come about."""
    with pytest.raises(BadInput, match="hold no prior"):
        Model.of(settings)


def test_an_error_of_the_redshift_takes_pixels_that_resolve_lines():
    """By the widest lines: those of the prior where their dispersion is free."""
    noise, narrow = SurveyNoise(redshift_error=30), Grid(pixels=1347, spacing="log")
    assert replace(NEAR, grid=narrow, noise=noise).noise == noise
    with pytest.raises(BadInput, match=r"noise\.redshift_error is 30 on pixels of up to 2310 km/s"):
        replace(NEAR, noise=noise)


def test_a_product_without_a_model_is_named(tmp_path):
    """By its own settings, also where what it is made of lies deep in them."""
    for settings in ({}, {"flow": {"training": {"simulations": {"grid": {}}}}}):
        with pytest.raises(BadInput, match=r"runs/a\.zarr: settings of .* hold no prior"):
            Model.of(Settings(tmp_path / "runs/a.zarr", settings))
