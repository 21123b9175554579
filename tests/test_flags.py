"""Bits that keep their meaning."""

import numpy as np

from hpcsbi.flags import MEANINGS, Flag, counts, legend, names


def test_every_flag_has_one_bit_and_a_meaning():
    """Flags are distinct single bits of an int32, each with a sentence."""
    values = [int(flag) for flag in Flag]

    assert set(MEANINGS) == set(Flag)
    assert all(value & (value - 1) == 0 for value in values) and len(set(values)) == len(values)
    assert max(values) < 2**31


def test_numbers_never_change():
    """A catalogue of today is read right by the code of tomorrow."""
    assert [int(flag) for flag in (Flag.NO_DATA, Flag.LOW_SN, Flag.UNREADABLE, Flag.EDGE)] == [
        1,
        32,
        2048,
        65536,
    ]


def test_legend_follows_the_cf_conventions():
    """flag_masks and flag_meanings are equally long, and meanings are words without blanks."""
    attributes = legend()

    assert len(attributes["flag_masks"]) == len(attributes["flag_meanings"].split())
    assert attributes["flag_meanings"].split()[0] == names(attributes["flag_masks"][0])[0]


def test_counts_leave_out_what_is_not_set():
    """Only bits that some row has are counted."""
    flags = np.array([0, Flag.LOW_SN, Flag.LOW_SN | Flag.EDGE], dtype=np.int32)

    assert counts(flags) == {"LOW_SN": 2, "EDGE": 1}
