"""FSPS: whether its data tree is there, and the one that the installed version reads."""

from pathlib import Path

from hpcsbi.health.check import OK, WARNING, WRONG, Check
from hpcsbi.simulator.direct.fsps_data import FspsError, check_tree, tree_notice

__all__ = ["fsps_tree"]

NAME = "SPS_HOME"


def fsps_tree(home: str | None, demo: bool | None, needed: bool = False) -> Check:
    """Look at the tree as `tabulate` does before it starts FSPS.

    Arguments:
        home: value of SPS_HOME.
        demo: the option tabulate.demo: True takes the shipped table, False FSPS, None FSPS where
            SPS_HOME is set.
        needed: FSPS itself makes spectra.
    """
    takes_shipped = (demo or (demo is None and not home)) and not needed
    try:
        check_tree(home)
    except FspsError as error:
        words, mend = error.problem, error.mend
        if not takes_shipped:
            return Check(NAME, WRONG, words, mend)
        if demo:
            return Check(NAME, OK, f"{words} Not needed: tabulate.demo=true")
        words += " The table that ships with the package is taken, which is not for science."
        return Check(NAME, WARNING, words, mend)
    notice = tree_notice(home)
    if notice and not demo:
        mend = "take the FSPS data release for science (README.md, Use it)"
        return Check(NAME, WARNING, f"{Path(home)}: whole, fits fsps 0.4.8. {notice}", mend)
    unused = ", not used: tabulate.demo=true" if demo and not needed else ""
    return Check(NAME, OK, f"{Path(home)}: whole, fits fsps 0.4.8{unused}")
