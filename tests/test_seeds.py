import numpy as np
import pytest

from hpcsbi.seeds import STAGES, generator, object_seed


def test_generators_differ_between_stages_shards_and_seeds():
    """No two pieces of work share their numbers, and the same piece has them again."""
    keys = [(s, stage, k) for s in (0, 1) for stage in STAGES for k in range(3)]
    first = [generator(*key).random() for key in keys]

    assert len(set(first)) == len(keys)
    assert first == [generator(*key).random() for key in keys]


def test_stages_keep_their_numbers():
    """The numbers decide the bytes of every store that was ever made."""
    assert STAGES["simulate"] == 2 and STAGES["infer"] == 6
    assert len(set(STAGES.values())) == len(STAGES)


def test_negative_seed_is_refused():
    """numpy's own words name neither the seed nor its value."""
    with pytest.raises(ValueError, match="seed is -1"):
        generator(-1, "simulate", 0)


def test_streams_are_independent():
    """Neighbouring shards are not correlated."""
    a, b = (generator(0, "simulate", k).normal(size=20_000) for k in (0, 1))

    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


def test_object_seeds_depend_on_the_object():
    """Another id or another seed is another stream; the numbers fit a torch generator."""
    seeds = {object_seed(s, f"NGC {i}") for s in (0, 1) for i in range(1000)}

    assert len(seeds) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)
