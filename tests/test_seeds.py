import numpy as np
import pytest
import torch

from hpcsbi.pipeline import STAGES
from hpcsbi.seeds import base_draws, generator, object_seed, torch_generator

SEEDED = [stage.name for stage in STAGES.values() if stage.seed is not None]


def test_generators_differ_between_stages_shards_and_seeds():
    """No two pieces of work share their numbers, and the same piece has them again."""
    keys = [(s, stage, k) for s in (0, 1) for stage in SEEDED for k in range(3)]
    first = [generator(*key).random() for key in keys]

    assert len(set(first)) == len(keys)
    assert first == [generator(*key).random() for key in keys]


def test_stages_keep_their_numbers():
    """They decide the bytes of every store that was ever made."""
    drawn = {
        "tabulate": 0.46951, "simulate": 0.731481, "augment": 0.776313, "train": 0.756778,
        "calibrate": 0.50203, "infer": 0.523558, "fit": 0.253601,
    }  # fmt: skip

    assert drawn == {stage: round(generator(0, stage, 7).random(), 6) for stage in drawn}
    assert len({STAGES[stage].seed for stage in SEEDED}) == len(SEEDED)


def test_negative_seed_is_refused():
    """numpy's own words name neither the seed nor its value."""
    with pytest.raises(ValueError, match="seed is -1"):
        generator(-1, "simulate", 0)


def test_streams_are_independent():
    """Neighbouring shards are not correlated."""
    a, b = (generator(0, "simulate", k).normal(size=20_000) for k in (0, 1))

    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


def test_object_seeds_depend_on_the_object():
    """Another id or another seed is another stream; the numbers fit in 63 bits."""
    seeds = {object_seed(s, f"NGC {i}") for s in (0, 1) for i in range(1000)}

    assert len(seeds) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("bit", [0, 1, 31, 32, 33, 47, 62])
def test_every_bit_of_a_seed_counts(bit):
    """torch takes the low 32 bits alone: of a million objects 116 pairs shared their draws."""
    a, b = 12345, 12345 ^ (1 << bit)
    for draw in (
        lambda seed: base_draws(seed).standard_normal(1000, np.float32),
        lambda seed: torch.randn(1000, generator=torch_generator(seed)).numpy(),
    ):
        assert np.array_equal(draw(a), draw(a))
        assert np.mean(draw(a) == draw(b)) < 0.01
        assert abs(np.corrcoef(draw(a), draw(b))[0, 1]) < 0.16  # 5 standard deviations


def test_the_twister_has_numpys_state():
    """Word for word the numbers that numpy draws: the state lies where torch looks for it."""
    for seed in (0, 5, 5 + 2**32, 2**62 + 1):
        drawn = torch.randint(0, 2**16, (2000,), generator=torch_generator(seed)).numpy()
        raw = np.random.MT19937(np.random.SeedSequence(seed)).random_raw(2001)[1:]
        assert np.array_equal(drawn, raw % 2**16)


def test_draws_of_a_generator_are_normal_and_uniform():
    """Moments and range, to five standard deviations."""
    normal = torch.randn(100_000, generator=torch_generator(7)).double()
    uniform = torch.rand(100_000, generator=torch_generator(8)).double()

    assert abs(normal.mean()) < 5 / 316 and abs(normal.std() - 1) < 5 / 447
    assert abs(uniform.mean() - 0.5) < 5 * 0.289 / 316 and 0 <= uniform.min() <= uniform.max() < 1
