"""README.txt of the part of a release for a referee: what it is, and the commands."""

import textwrap
from collections.abc import Mapping
from typing import Any

__all__ = ["referee_readme"]

TEXT = """\
ROWS OF THE CATALOGUE, MADE AGAIN
=================================

{notice}{number} of the {of} rows of the catalogue, with all that it takes to make them again: \
{at_random} at random (seed {seed}), and one of each flag that none of these has.{chains}

    spectra.zarr      the spectra as they were read, at rest on the model's pixels
    flow/             the trained flow and the table of stellar populations
    rows.parquet      these rows as they were released
    rerun.parquet     what this folder gave when it was released
    settings.json     draws, seed, code, and the type of processor
    constraints.txt   versions of all libraries
    SHA256SUMS        digests of all files

In a clone of {software}, with Python 3.11 or later:

    python3 -m venv .venv
    .venv/bin/pip install -c {folder}/constraints.txt -e .
    .venv/bin/python jobs/reproduce.py reproduce.release={folder}

where {folder} is this folder. The last command checks the digests, infers the spectra, compares, \
and ends with one line: `agrees` (exit status 0), or which columns and objects do not (1). It \
takes about a second an object. Its columns.csv has a line a column.

What is compared. On the same type of processor and with the same libraries the numbers are to the \
last bit those of rerun.parquet. They are not those of rows.parquet, for a spectrum's last bits \
depend on those that are inferred beside it, and here these are others. Against rows.parquet a \
difference is judged in units of its Monte Carlo error: two sets of n independent draws of one \
posterior differ by its width over sqrt(n / 2). Where the weights are good no object may be beyond \
six such errors; of the flow's own draws, whose proposal begins at an optimum that last bits may \
move, one in twenty; of flags, which are thresholds, one in ten.
"""


def referee_readme(about: Mapping[str, Any], notice: str) -> str:
    """The text, lines of 100 characters.

    Arguments:
        about: content of settings.json.
        notice: where the catalogue is not for science; "" where it is.
    """
    chosen = about["chosen"]
    chains = (
        f" {chosen['chains']} rows have the numbers of chains, which are not made again here."
        if chosen["chains"]
        else ""
    )
    text = TEXT.format(
        notice=f"NOT FOR SCIENCE. {notice}\n\n" if notice else "",
        number=chosen["rows"],
        of=chosen["of"],
        at_random=min(chosen["at_random"], chosen["rows"]),
        seed=chosen["seed"],
        chains=chains,
        software=about["software"],
        folder="REFEREE",
    )
    return "\n".join(
        line if line.startswith(" ") else textwrap.fill(line, 100) for line in text.split("\n")
    )
