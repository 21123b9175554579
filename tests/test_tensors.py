import numpy as np
import pytest
import torch

from hpcsbi.tensors import LARGER, rows_on, tensors_on

META = torch.device("meta")


@pytest.mark.parametrize("device", [torch.device("cpu"), META])
def test_arrays_are_copied_to_the_device(device):
    """As float32 of their own, whatever they were: what happens to the array is nothing to them."""
    arrays = np.arange(3.0), np.float32([[1, 2]]), [True, False]
    tensors = tensors_on(device, arrays)
    arrays[1][:] = 0

    assert {(each.device, each.dtype) for each in tensors} == {(device, torch.float32)}
    assert [tuple(each.shape) for each in tensors] == [(3,), (1, 2), (2,)]
    assert device == META or tensors[1].tolist() == [[1, 2]]


def test_a_gpu_takes_more_rows_and_no_more_memory():
    """A processor as many as it was given; elsewhere pixels count."""
    assert rows_on(torch.device("cpu"), 16, 4000) == 16
    assert rows_on(META, 16, 138) == LARGER * 16
    assert rows_on(META, 4096, 1380) * 1380 <= LARGER * 4096 * 138
    assert rows_on(META, 1, 100_000) == 1
