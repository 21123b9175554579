"""What belongs to a spectrum goes with it."""

import numpy as np
import pytest

from hpcsbi.simulator.table.batch import Batch

FLUX = np.arange(12, dtype=np.float32).reshape(4, 3)
BATCH = Batch(FLUX, FLUX + 100, np.arange(4) + 7, np.arange(4) / 10)


@pytest.mark.parametrize(
    "rows", [slice(1, 3), np.array([2, 0, 2]), np.array([True, False, False, True])]
)
def test_objects_are_chosen_whole(rows):
    """By a slice, by indices, by a mask: flux, weights, seed and redshift stay together."""
    some, chosen = BATCH[rows], np.arange(4)[rows]

    assert len(some) == len(chosen)
    assert np.array_equal(some.flux, FLUX[chosen])
    assert np.array_equal(some.ivar - some.flux, np.full((len(chosen), 3), 100))
    assert some.seeds.tolist() == (chosen + 7).tolist()
    assert some.zred_column.tolist() == [[row / 10] for row in chosen]


def test_without_redshifts_there_is_no_limit():
    """Nor in any part of the batch."""
    batch = Batch(FLUX, FLUX, np.arange(4))

    assert batch.zred_column is None and batch[:2].zred_column is None
    assert batch[:1].only_zred is None and BATCH[2:3].only_zred == 0.2
