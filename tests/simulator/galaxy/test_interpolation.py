"""A cubic between nodes in one logarithm, and in two; a line between any."""

import numpy as np
import pytest
import torch

from hpcsbi.simulator.galaxy.interpolation import Axis, Pieces, Plane, axis_over, interval

PLANE = Plane(axis_over(0.5, 5.0, 0.1), axis_over(0.1, 10.0, 0.3))


def test_cubic_is_exact_for_parabolas():
    """Nodes themselves, what lies between them, and the ends, beyond which x is clamped."""
    axis = Axis(-1.0, 2.0, 0.3)
    x = torch.tensor([-1.0, -0.4, 0.123, 1.99, 2.0, 7.0], dtype=torch.float64)
    first, weights = axis.locate(x)
    nodes = torch.from_numpy(axis.nodes)[first[:, None] + torch.arange(4)]

    for power in (0, 1, 2):
        found = (weights * nodes**power).sum(1)
        assert torch.allclose(found, x.clamp(-1, 2) ** power, atol=1e-12)
    assert axis.nodes[0] < axis.low and axis.nodes[-1] > axis.high


def test_an_axis_covers_its_range():
    """From the lowest to the highest value, in steps of the logarithm."""
    axis = axis_over(0.5, 5.0, 0.1)

    assert np.exp(axis.nodes[1]) == pytest.approx(0.5)
    assert np.exp(axis.low + axis.cells * axis.step) >= 5
    assert np.diff(axis.nodes) == pytest.approx(0.1)


def mixed(values, u, v):
    index, weight = PLANE.around(u, v)
    assert index.shape == weight.shape == (len(u), 16) and index.max() < PLANE.size
    return (torch.as_tensor(values, dtype=weight.dtype)[index.long()] * weight).sum(1)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=["compiled", "torch"])
def test_a_plane_is_exact_for_parabolas(kind):
    """In both logarithms; beyond the nodes its edge is taken."""
    u, v = torch.tensor([[0.5, 0.77, 4.9, 0.1], [0.1, 3.3, 9.9, 50.0]], dtype=kind)
    nodes_u, nodes_v = map(np.log, PLANE.nodes)
    high = [np.exp(a.low + a.cells * a.step) for a in (PLANE.first, PLANE.second)]
    ln_u, ln_v = u.clamp(0.5, high[0]).log(), v.clamp(0.1, high[1]).log()

    value = mixed(nodes_u**2 - nodes_u * nodes_v + 3, u, v)
    tolerance = 1e-4 if kind == torch.float32 else 1e-12
    assert torch.allclose(value, ln_u**2 - ln_u * ln_v + 3, atol=tolerance)


def test_the_compiled_way_is_the_other():
    """The same nodes, weights to rounding, and NaN for what is no number or not positive."""
    rng = np.random.default_rng(0)
    u, v = torch.tensor(np.exp(rng.uniform(-3, 3, (2, 500))), dtype=torch.float32)
    compiled = PLANE.around(u, v)
    index, weight = PLANE.around(u.clone().requires_grad_(), v)

    # Points on a node may be counted to either side of it.
    values = rng.normal(size=len(PLANE.nodes[0])).astype(np.float32)
    both = [(torch.tensor(values)[i.long()] * w).sum(1) for i, w in (compiled, (index, weight))]
    assert torch.allclose(*both, atol=1e-4)
    for bad in (float("nan"), -1.0):
        index, weight = PLANE.around(torch.tensor([bad]), torch.tensor([1.0]))
        assert weight.isnan().all() and (index == 0).all()


def test_a_plane_has_a_derivative():
    """That of ln u ln v, by u."""
    u = torch.tensor([0.7, 2.0], dtype=torch.float64, requires_grad=True)
    v = torch.tensor([0.3, 4.0], dtype=torch.float64)
    nodes_u, nodes_v = map(np.log, PLANE.nodes)
    mixed(nodes_u * nodes_v, u, v).sum().backward()

    assert torch.allclose(u.grad, v.log() / u.detach(), rtol=1e-9)


def test_an_interval_is_exact_for_lines():
    """Between uneven nodes; beyond them their ends are taken, and NaN is no index."""
    nodes = torch.tensor([0.0, 0.5, 2.0, 3.0])
    x = torch.tensor([-1.0, 0.0, 0.2, 0.5, 1.9, 3.0, 9.0, torch.nan], requires_grad=True)
    left, right = interval(nodes, x)
    value = nodes[left] * (1 - right) + nodes[left + 1] * right

    assert torch.allclose(value[:-1], x[:-1].clamp(0, 3)) and right[-1].isnan()
    assert ((left >= 0) & (left <= 2)).all()
    (slope,) = torch.autograd.grad(value[:-1].sum(), x)
    assert torch.allclose(slope[[0, 2, 4, 6]], torch.tensor([0.0, 1.0, 1.0, 0.0]))


def test_pieces_are_exact_for_cubics_with_kinks():
    """Another cubic in each piece, their common ends, and beyond them the ends; slopes as well."""
    pieces = Pieces((-2.0, -1.5, 0.0, 0.3))
    x = torch.tensor([-2.0, -1.7, -1.5, -0.2, 0.0, 0.11, 0.3, 4.0], dtype=torch.float64)

    def kinked(x):
        return x**3 - 2 * x + 3 * np.maximum(x + 1.5, 0) ** 2 - np.maximum(x, 0)

    def between(x):
        first, weights = pieces.locate(x)
        return (weights * torch.tensor(kinked(pieces.nodes))[first[:, None] + torch.arange(4)]).sum(
            1
        )

    assert pieces.nodes[::3] == pytest.approx(pieces.breaks)
    assert between(x) == pytest.approx(kinked(x.numpy().clip(-2, 0.3)), abs=1e-12)
    inner = torch.tensor([-1.7, -0.2, 0.11], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(between(inner).sum(), inner)
    step = 1e-6
    numerical = (
        kinked(inner.detach().numpy() + step) - kinked(inner.detach().numpy() - step)
    ) / 2e-6
    assert slope.numpy() == pytest.approx(numerical, rel=1e-6)
    assert pieces.locate(torch.tensor([torch.nan]))[1].isnan().all()
