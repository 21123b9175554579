"""The text says what is in the folder, and its commands are those of this version."""

from pathlib import Path

import pytest

from hpcsbi.release.referee_readme import referee_readme

ROOT = Path(__file__).parents[2]
ABOUT = {
    "software": "hpcsbi 1.2",
    "chosen": {"rows": 43, "of": 1000, "at_random": 40, "seed": 7, "chains": 0},
}


@pytest.mark.parametrize("chains", [0, 12])
def test_numbers_and_commands(chains):
    """Plain text of narrow lines; commands unbroken; rows of chains where there are some."""
    text = referee_readme({**ABOUT, "chosen": {**ABOUT["chosen"], "chains": chains}}, "Not real.")

    words = " ".join(text.split())
    assert "43 of the 1000 rows" in words and "40 at random (seed 7)" in words
    assert ("12 rows have the numbers of chains" in words) == bool(chains)
    assert "NOT FOR SCIENCE. Not real." in text and max(map(len, text.splitlines())) <= 100
    command = "python jobs/reproduce.py reproduce.release=REFEREE"
    assert command in text and (ROOT / "jobs/reproduce.py").exists()
    assert "NOT FOR SCIENCE" not in referee_readme(ABOUT, "")
