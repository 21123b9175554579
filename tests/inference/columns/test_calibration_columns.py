"""Arrays of a calibration, and rows that were not judged."""

import numpy as np
import pytest

from hpcsbi.inference.columns.calibration_columns import RANKS, arrays_of, columns_without_ranks

SIZES = {"row": 3, "parameter": 2, "joint": 3, "level": 5}


def test_what_is_published_and_the_flow_alone_are_judged_alike():
    """The same arrays of both; of derived quantities where there are any."""
    for sizes, derived in ((SIZES, False), (SIZES | {"quantity": 4}, True)):
        arrays = arrays_of(sizes)
        judged = {name for name in RANKS if name in arrays}

        assert judged == {*RANKS} - (set() if derived else {"derived_ranks"})
        assert {f"flow_{name}" for name in judged} <= {*arrays}
        assert ("flow_derived_ranks" in arrays) == derived


@pytest.mark.parametrize("sizes", [SIZES, SIZES | {"quantity": 4}])
def test_a_row_that_was_not_judged_has_no_rank(sizes):
    """Minus one, which is no rank; NaN in what is measured; no draws."""
    columns = columns_without_ranks(sizes)

    assert set(columns) == set(arrays_of(sizes))
    ranks = [values for name, values in columns.items() if name.endswith("ranks")]
    assert len(ranks) == (6 if "quantity" in sizes else 4)
    assert all((values == -1).all() for values in ranks)
    assert not columns["n_draws"].any() and np.isnan(columns["flow_tarp"]).all()
