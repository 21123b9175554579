import os

import pytest

from hpcsbi.grid import Grid
from hpcsbi.simulator.direct.fsps_data import (
    LIBRARY,
    LIBRARY_BYTES,
    METALLICITIES,
    OTHERS,
    FspsError,
    check_tree,
    resolution_notice,
    tree_notice,
)


@pytest.fixture
def tree(tmp_path):
    """A tree of empty shells that passes the inspection."""
    home = tmp_path / "fsps"
    for name in OTHERS:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("x\n")
    for name in LIBRARY:
        with open(home / f"SPECTRA/MILES/imiles_z{name}.spectra.bin", "wb") as file:
            file.truncate(LIBRARY_BYTES)
    for name in METALLICITIES:
        (home / f"ISOCHRONES/MIST/isoc_z{name}.dat").write_text("# age\n5.00 0.1\n10.30 0.9\n")
    (home / "nebular/ZAU_ND_mist.lines").write_text("#166 cols\n9.2e2\n-1.9800e+00 1e5 -4\n")
    return home


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


def test_a_whole_tree_passes(tree):
    """The negative control of the cases below."""
    assert check_tree(str(tree)) == tree


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda home: os.remove(home / "ISOCHRONES/MIST/isoc_zm0.25.dat"), "isoc_zm0.25.dat"),
        (lambda home: os.remove(home / "nebular/ZAU_ND_mist.cont"), "ZAU_ND_mist.cont"),
        (lambda home: cut(home / "SPECTRA/MILES/imiles_z0.0190.spectra.bin"), "cut short"),
        (lambda home: cut(home / "ISOCHRONES/MIST/isoc_zp0.50.dat"), "cut short"),
        (lambda home: (home / "nebular/ZAU_ND_mist.lines").write_text("#\n9\n-2.0 5\n"), "version"),
        (lambda home: (home / "nebular/ZAU_ND_mist.lines").write_text(""), "version"),
        (lambda home: (home / "ISOCHRONES/MIST/isoc_zp0.00.dat").write_text(""), "cut short"),
    ],
)
def test_a_broken_tree_is_refused_with_the_file_and_the_mend(tree, break_it, says):
    """The message names the file and the command that gets a tree that fits."""
    break_it(tree)

    with pytest.raises(FspsError, match=says) as error:
        check_tree(str(tree))
    assert "git clone" in str(error.value) and "demonstration table" in str(error.value)


@pytest.mark.parametrize(
    ("home", "says"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("/no/such/folder", "is not a folder"),
        ("/tmp/" + "x" * 250, "characters"),
    ],
)
def test_a_wrong_sps_home_is_named(home, says):
    """Unset, missing and too long are told apart, before FSPS is started."""
    with pytest.raises(FspsError, match=says):
        check_tree(home)


def test_an_empty_folder_is_not_a_tree(tmp_path):
    """All files are counted, and the first that is missing is named."""
    with pytest.raises(FspsError, match="25 of 25 files"):
        check_tree(str(tmp_path))


def test_a_stand_in_says_so(tree):
    """Products of a tree with STAND_IN.txt carry a notice, others none."""
    assert tree_notice(str(tree)) == tree_notice(None) == ""
    (tree / "STAND_IN.txt").write_text("not a release")

    assert "not for science" in tree_notice(str(tree))


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        (Grid(), False),
        (Grid(pixels=1151), True),
        (Grid(3750, 7000, 651), False),
        (Grid(3400, 7000, 721), True),
        (Grid(pixels=1347, spacing="log"), True),
    ],
)
def test_where_the_library_is_coarser_than_the_grid_is_told(grid, told):
    """In words, with the ranges; of the default grid and inside the library's range nothing."""
    assert ("pixels of 20 Angstrom" in resolution_notice(grid)) == told
    assert bool(resolution_notice(grid)) == told
