"""Devices that any machine has: one on which mixing it with another is refused as on a GPU, and the
processor without compiled loops.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")
ATEN = torch.ops.aten
COPIES = (ATEN.copy_.default, ATEN._to_copy.default)


class Generator(torch.Generator):
    """One whose numbers are there."""

    device = META


class OneDevice(TorchDispatchMode):
    """Within it no operation but a copy takes tensors of two devices; numbers on META read as 1.

    Of META alone torch knows shapes only, and lets products mix it with others. A tensor without
    dimensions goes with any device, as on a GPU.
    """

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors if tensor.dim()}
        if len(devices) > 1 and function not in COPIES:
            raise RuntimeError(f"{function} takes tensors of {sorted(devices)}")
        options = kwargs or {}
        if (
            function is ATEN._to_copy.default
            and args[0].is_meta
            and options.get("device", META) != META
        ):
            return torch.ones(args[0].shape, dtype=options.get("dtype", args[0].dtype))
        if function is ATEN._local_scalar_dense.default and args[0].is_meta:
            return 1.0
        return function(*args, **options)


class _Elsewhere(str):
    """The processor, of a type that no compiled loop takes for one."""

    type = "elsewhere"


def without_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on torch does everything, as on a GPU, and the numbers are there."""
    real = torch.Tensor.device
    told = property(lambda tensor: _Elsewhere(real.__get__(tensor)))
    monkeypatch.setattr(torch.Tensor, "device", told)
