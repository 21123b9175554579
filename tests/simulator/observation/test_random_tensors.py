import torch

from hpcsbi.simulator.observation.random_tensors import RandomTensors


def draws(seed: int) -> RandomTensors:
    return RandomTensors(torch.Generator().manual_seed(seed))


def test_they_have_the_distributions_that_they_are_called_after():
    """Means and widths to five of their errors, and integers below the number."""
    draw, n = draws(0), 40_000
    uniform, normal, integer = draw.uniform(n), draw.normal(n), draw.integer(5, n)

    for values, mean, width in ((uniform, 1 / 2, 12**-0.5), (normal, 0, 1), (integer, 2, 2**0.5)):
        assert abs(float(values.double().mean()) - mean) < 5 * width / n**0.5
        assert abs(float(values.double().std()) / width - 1) < 5 / n**0.5
    assert integer.min() == 0 and integer.max() == 4


def test_one_generator_makes_one_sequence():
    """The same seed again, another one not, and no number twice."""
    one, same, other = draws(1), draws(1), draws(2)
    first = one.normal(3, 4)

    assert first.shape == (3, 4) and torch.equal(first, same.normal(3, 4))
    assert not torch.equal(first, one.normal(3, 4)) and not torch.equal(first, other.normal(3, 4))
