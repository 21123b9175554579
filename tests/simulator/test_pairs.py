import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from representation_bench import engine

from hpcsbi.simulator.observation.noise import SurveyNoise
from hpcsbi.simulator.observation.sky_lines import sky_shares
from hpcsbi.simulator.pairs import SPLITS, PairPlan, fresh_pairs, split_of
from hpcsbi.simulator.theta.cosmology import age_of_universe
from hpcsbi.simulator.theta.prior import Prior


@given(
    n=st.integers(1, 200),
    copies=st.integers(0, 5),
    share=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    seed=st.integers(0, 99),
)
def test_no_spectrum_is_on_two_sides(n, copies, share, seed):
    """Every base spectrum belongs to one split, with as many pairs as asked."""
    usable = np.flatnonzero(np.random.default_rng(seed).random(n) < 0.8)
    validation, test = (int(s * len(usable)) for s in share)
    if not copies * (len(usable) - validation - test) + validation + test:
        return
    plan = PairPlan(usable, copies, validation, test, seed)
    base, split = plan.base(slice(0, len(plan))), plan.split(slice(0, len(plan)))
    sides = {name: set(base[split == value]) for name, value in SPLITS.items()}

    assert (len(sides["validation"]), len(sides["test"])) == (validation, test)
    assert not sides["train"] & sides["test"] and not sides["train"] & sides["validation"]
    assert not sides["validation"] & sides["test"]
    assert set(base) <= set(usable)
    if copies:
        assert np.unique(base[split == 0], return_counts=True)[1].tolist() == [copies] * (
            len(usable) - validation - test
        )
    settings = {"validation": validation, "test": test}
    for name, value in SPLITS.items():
        rows = split_of(settings, len(plan), name)
        assert (split[rows] == value).all() and rows.stop - rows.start == (split == value).sum()


def test_pieces_agree_with_the_whole():
    """A shard knows its pairs without those of the others."""
    plan = PairPlan(np.arange(50), 3, 7, 5, 0)
    whole = plan.base(slice(0, len(plan)))

    parts = [plan.base(slice(k, min(k + 11, len(plan)))) for k in range(0, len(plan), 11)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_neighbours_are_different_spectra():
    """Copies of one spectrum are apart, so that a shard of training pairs is a fair sample."""
    plan = PairPlan(np.arange(100), 4, 0, 0, 0)

    assert len(set(plan.base(slice(0, 100)))) == 100


def test_impossible_counts_are_refused():
    """The counts and the mend are named."""
    with pytest.raises(ValueError, match=r"validation=8 \+ test=5 of 10 usable"):
        PairPlan(np.arange(10), 1, 8, 5, 0)
    with pytest.raises(ValueError, match="nothing to do"):
        PairPlan(np.arange(10), 0, 0, 0, 0)


class Told(SurveyNoise):
    """Survey noise that remembers the redshifts of its observations."""

    def __call__(self, *arguments):
        """See `Noise`."""
        observation = super().__call__(*arguments)
        object.__setattr__(self, "zred", observation[2].numpy())
        return observation


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fresh_pairs_are_observed_where_the_universe_is_as_old_as_they_are(seed):
    """With a given age; control: redshifts drawn as for an inferred age belong to another one."""
    prior, noise = tiny.given_prior(survey=True), Told()
    ssp, free = engine(prior), Prior({**prior.columns, "tage": {"low": 6.5, "high": 13.75}})
    wave, pad = torch.tensor(ssp.wave).float(), np.zeros(len(prior.names))
    tage = prior.names.index("tage")

    ages = []
    for each in (prior, free):
        coordinates = fresh_pairs(300, each, ssp, noise, wave, pad, np.random.default_rng(seed))[0]
        ages.append((coordinates[:, tage].numpy(), age_of_universe(noise.zred.astype(float))))

    assert ages[0][0] == pytest.approx(ages[0][1], abs=2e-6)
    assert np.array_equal(ages[0][0], ages[1][0]) and np.abs(np.subtract(*ages[1])).mean() > 0.5


def test_fresh_pairs_have_the_sky_at_the_redshift_of_theta():
    """What differs from the same pairs without it lies in bands of the observed frame."""
    told = {"zred": {"low": 0.0, "high": 0.3, "given": "redshift"}}
    prior = Prior({**tiny.prior(survey=True).columns, **told}, bound_age=True)
    ssp, pad = engine(prior), np.zeros(len(prior.names))
    wave = torch.tensor(ssp.wave).float()
    with_it, without = (
        fresh_pairs(300, prior, ssp, noise, wave, pad, np.random.default_rng(1))
        for noise in (Told(sky_error=3.0), Told())
    )
    zred = with_it[0][:, -1]
    left = ((with_it[2] - without[2]) * with_it[3].sqrt()).abs()
    shares = sky_shares(wave, zred).sum(1)

    assert torch.equal(with_it[3], without[3]) and torch.equal(with_it[0], without[0])
    assert left[shares == 0].max() < 1e-3 < 1 < left[(shares > 0.9) & (with_it[3] > 0)].median()
    other = sky_shares(wave, zred.flip(0)).sum(1)
    assert left[other == 0].max() > 1


@pytest.mark.parametrize("seed", [0, 1])
def test_fresh_pairs_have_the_error_of_the_model_that_theta_says(seed):
    """Beside the same spectra and noise; control: a noise of twice the length is another error."""
    column = {"low": 0.001, "high": 0.1, "log": True, "nuisance": True}
    plain = tiny.prior(survey=True)
    prior = Prior({**plain.columns, "model_error": column})
    ssp, pad = engine(prior), np.zeros(len(prior.names))
    wave = torch.tensor(ssp.wave).float()
    pairs = []
    for length in (60, 120):
        noise = SurveyNoise(snr=(900, 1000), cut=0.0, model_error_length=length)
        pairs.append(fresh_pairs(400, prior, ssp, noise, wave, pad, np.random.default_rng(seed)))
    error = prior.theta(pairs[0][0].double().numpy())[:, -1]
    floor = prior.theta(pairs[0][0].double().numpy())[:, -2]
    calm = (floor < 0.01) & (error > 0.03)
    neighbours = []
    for _, signal, flux, ivar in pairs:
        valid = (ivar > 0).numpy()
        off = np.where(valid, (flux / signal - 1).numpy(), np.nan)[calm] / error[calm, None]
        assert np.nanstd(off) == pytest.approx(1, abs=0.2)
        neighbours.append(np.nanmean(off[:, 2:] * off[:, :-2]))

    assert neighbours[0] == pytest.approx(np.exp(-0.5 * (84 / 60) ** 2), abs=0.15)
    assert neighbours[1] - neighbours[0] > 0.2
