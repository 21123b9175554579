"""Arrays as tensors on the device that computes with them, and how many rows go there at once."""

from collections.abc import Iterable

import numpy as np
import torch

from hpcsbi.grid import rows_at_once

__all__ = ["LARGER", "rows_on", "tensors_on"]

LARGER = 8  # steps of a GPU: at about 30 000 spectra its kernels take longer than their start


def tensors_on(device: torch.device, arrays: Iterable[np.ndarray]) -> list[torch.Tensor]:
    """Copies of arrays, float32.

    In torch's own memory: products of unaligned numbers differ in the last bit.

    Arguments:
        device: where they go.
        arrays: any number of them, of any shape and type.
    """
    return [torch.tensor(np.asarray(array, np.float32), device=device) for array in arrays]


def rows_on(device: torch.device, rows: int, pixels: int) -> int:
    """Rows worked on at once: on a processor those that stay in its cache, elsewhere more.

    Arguments:
        device: that works.
        rows: of a processor.
        pixels: of the spectra, by which a GPU's memory bounds them.
    """
    return rows if device.type == "cpu" else rows_at_once(LARGER * rows, pixels)
