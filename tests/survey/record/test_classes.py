import numpy as np
import pytest

from hpcsbi.survey.record.classes import active_nucleus, class_names


@pytest.mark.parametrize(
    ("name", "active"),
    [
        ("GALAXY", False),
        ("GALAXY STARBURST", False),
        ("GALAXY STARFORMING", False),
        ("GALAXY AGN", True),
        ("GALAXY STARBURST BROADLINE", True),
        ("QSO", True),
        ("qso hiz", True),
        ("STAR AGNES", False),
        ("", False),
    ],
)
def test_classes_of_black_holes_are_known_by_their_words(name, active):
    """Whole words, in any case; stars that form are none of them."""
    assert active_nucleus([name]).tolist() == [active]


def test_texts_are_joined_without_padding():
    """Bytes and padded FITS strings, and what is empty."""
    kinds, parts = np.array([b"GALAXY ", b"QSO   ", b"STAR"]), ["AGN BROADLINE  ", "", "F5 \0"]

    assert class_names(kinds, parts) == ["GALAXY AGN BROADLINE", "QSO", "STAR F5"]
    assert class_names([]) == [] and active_nucleus([]).shape == (0,)
