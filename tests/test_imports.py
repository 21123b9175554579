"""The architecture: what may import what, and where each library is at home."""

import ast
from pathlib import Path

import pytest

import hpcsbi

PACKAGE = Path(hpcsbi.__file__).parent
# A package imports those before it, never those behind it; all import the modules beside them,
# which are the vocabulary of the house and import each other alone.
ORDER = (
    "kernels", "statistics", "cluster", "store", "survey", "simulator", "inference", "mcmc", "run",
    "release", "report", "library", "health", "stages", "launch",
)  # fmt: skip
# Rooms of a large package, in the same order; what stands beside them knows them all.
ROOMS = {
    "survey": ("record", "readers"),
    "simulator": ("theta", "galaxy", "direct", "observation", "table", "probability"),
    "inference": ("summary", "network", "sampling", "columns", "learning"),
}
DOOR = PACKAGE / "__init__.py"  # names what the library offers, and imports it when it is asked
# Figures and files are made of arrays, wherever these come from.
STRANGERS = {"release": {"run"}, "report": {"run"}}
FILES = sorted(PACKAGE.rglob("*.py"))
OWNERS = {
    "zarr": {"store"},
    "safetensors": {"store"},
    "dask": {"cluster"},
    "distributed": {"cluster"},
    "dask_jobqueue": {"cluster"},
    "arviz_stats": {"statistics"},
    "astropy.io.fits": {"release", "survey"},
    "dust_extinction": {"survey"},
    "numba": {"kernels"},
    "llvmlite": {"kernels", "store"},
    "zuko": {"inference"},
    "fsps": {"simulator"},
    "prospect": {"simulator"},
    "emcee": {"mcmc", "statistics"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "hats_import": {"release"},
    "hydra": {"launch"},
    "omegaconf": {"launch"},
}


def home(path: Path) -> str:
    """Package of a file; "" for the vocabulary."""
    return path.relative_to(PACKAGE).parts[0] if path.parent != PACKAGE else ""


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever the statement stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def allowed(package: str) -> set[str]:
    """Packages that the files of a package may import."""
    if not package:
        return set()
    return set(ORDER[: ORDER.index(package) + 1]) - STRANGERS.get(package, set())


def test_order_is_complete():
    """Every folder with code has its place in the order."""
    assert {home(path) for path in FILES} - {""} == set(ORDER)


@pytest.mark.parametrize("package", ["", *ORDER])
def test_import_rule(package):
    """A package imports itself, those before it, and the vocabulary."""
    for path in FILES:
        if home(path) == package and path != DOOR:
            parts = {name.split(".")[1] for name in imported(path) if name.startswith("hpcsbi.")}
            ours = parts & set(ORDER)
            assert ours <= allowed(package), f"{path} imports {sorted(ours - allowed(package))}"


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_are_in_order(package):
    """A module in a room imports of its package what is in this room, or in one before it."""
    rooms = ROOMS[package]
    folder = PACKAGE / package

    assert {path.parent.name for path in folder.rglob("*.py")} - {package} == set(rooms)
    for n, room in enumerate(rooms):
        for path in (folder / room).glob("*.py"):
            ours = {name for name in imported(path) if name.startswith(f"hpcsbi.{package}.")}
            wrong = {name for name in ours if name.split(".")[2] not in rooms[: n + 1]}
            assert not wrong, f"{path} imports {sorted(wrong)}"


def test_every_module_has_a_test_of_its_name():
    """In the folder of its package and room."""
    tests = Path(__file__).parent
    folders = [
        path.relative_to(PACKAGE) for path in FILES if path.stem not in ("__init__", "__main__")
    ]

    assert [
        str(path) for path in folders if not (tests / path.parent / f"test_{path.name}").exists()
    ] == []


def test_the_door_opens_on_the_library_alone():
    """For who reads it: what runs imports nothing until a name is asked for."""
    ours = {name for name in imported(DOOR) if name.startswith("hpcsbi.")}

    assert ours == {"hpcsbi.library", *(f"hpcsbi.library.{name}" for name in hpcsbi.__all__)}


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_library_has_one_home(library):
    """Zarr stays in store, Dask in cluster, FITS where it is read and written."""
    users = {
        home(path)
        for path in FILES
        for used in imported(path)
        if f"{used}.".startswith(f"{library}.")
    }

    assert users <= OWNERS[library]


def test_rule_would_notice(tmp_path):
    """Imports inside a function and in every spelling are seen."""
    path = tmp_path / "part.py"
    path.write_text(
        "def f():\n    import zarr.codecs\n    from hpcsbi.stages import simulate\n"
        "    from astropy.io import fits\n    from hpcsbi.stages.augment import augment as other\n"
    )

    found = imported(path)

    assert {"zarr.codecs", "astropy.io.fits"} <= found
    assert {"hpcsbi.stages.simulate", "hpcsbi.stages.augment"} <= found
    path.write_text("from . import train\n")
    with pytest.raises(AssertionError, match="relative"):
        imported(path)
