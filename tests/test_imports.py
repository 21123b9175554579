import ast
from pathlib import Path

import pytest

import hpcsbi

PACKAGE = Path(hpcsbi.__file__).parent
MODULES = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
STAGES = {
    "tabulate", "simulate", "augment", "train", "calibrate", "ingest", "infer", "fit", "report",
    "status", "plan", "compare",
}  # fmt: skip
# What each edge may know of the others.
EDGES = {
    "files": set(),
    "records": set(),
    "compressed": set(),
    "geometry": {"records"},
    "column_files": {"records"},
    "fits_layouts": {"column_files", "compressed", "records"},
    "fits_readers": {"column_files", "fits_layouts", "records"},
    "survey": {"column_files", "compressed", "fits_layouts", "fits_readers", "records"},
    "scan": {"cluster", "files", "survey"},
    "site": set(),
    "slurm_commands": set(),
    "slurm": {"slurm_commands"},
    "sbatch": {"slurm", "slurm_commands"},
    "deadline": {"slurm"},
    "drivers": {"slurm"},
    "locks": {"drivers", "files"},
    "layout": set(),
    "settings": set(),
    "machine": {"files"},
    "store": {"files", "layout", "locks", "settings", "slurm"},
    "job_words": {"slurm"},
    "submissions": {"files", "job_words", "slurm"},
    "merges": {"files", "store"},
    "progress": {"files", "layout", "locks", "merges", "store"},
    "cluster": {"deadline"},
    "provenance": set(),
    "shards": {"cluster", "machine", "provenance", "store"},
    "tls": {"slurm"},
    "caches": set(),
    "dask_cluster": {"cluster", "tls"},
    "allocation": {"cluster", "dask_cluster", "site", "slurm", "tls"},
    "elastic": {"cluster", "dask_cluster", "sbatch", "site", "slurm", "tls"},
    "trainings": {"files", "job_words", "locks", "slurm", "submissions"},
}
JOINTS = {"artifacts", "catalogue", "observed", "sources"}  # from what lies on disk to parts
ANYWHERE = {"errors", "terminal", "threads"}
PARTS = MODULES - STAGES - set(EDGES) - JOINTS - ANYWHERE
ALLOWED = (
    dict.fromkeys(STAGES, PARTS | set(EDGES) | JOINTS)
    | dict.fromkeys(JOINTS, PARTS | set(EDGES))
    | EDGES
)
OWNERS = {
    "zarr": {"layout", "store"},
    "safetensors": {"files"},
    "dask": {"dask_cluster"},
    "distributed": {"dask_cluster"},
    "dask_jobqueue": {"elastic"},
    "astropy.io.fits": {"fits_layouts", "fits_readers"},
    "hydra": set(),
    "omegaconf": set(),
}


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever the statement stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, ["hpcsbi" if node.level else "", node.module]))
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return names


@pytest.mark.parametrize("name", sorted(MODULES))
def test_import_rule(name):
    """Stages import parts and edges, parts import parts, edges the edges below them."""
    ours = {
        part.split(".")[1] for part in imported(PACKAGE / f"{name}.py") if "hpcsbi." in part
    } & MODULES
    allowed = ANYWHERE | ALLOWED.get(name, PARTS if name in PARTS else set())

    assert ours <= allowed, f"{name} imports {sorted(ours - allowed)}"


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_library_has_one_home(library):
    """Zarr stays in store, Dask in cluster, FITS in survey, Hydra in the jobs."""
    users = {
        name
        for name in MODULES
        for used in imported(PACKAGE / f"{name}.py")
        if f"{used}.".startswith(f"{library}.")
    }

    assert users <= OWNERS[library]


def test_rule_would_notice(tmp_path):
    """Imports inside a function and in every spelling are seen."""
    path = tmp_path / "part.py"
    path.write_text(
        "def f():\n    import zarr.codecs\n    from hpcsbi import simulate\n"
        "    from astropy.io import fits\n    from hpcsbi.augment import augment as other\n"
        "    from . import train\n    from .infer import infer\n"
    )

    found = imported(path)

    assert {"zarr.codecs", "astropy.io.fits"} <= found
    assert {f"hpcsbi.{stage}" for stage in ("simulate", "augment", "train", "infer")} <= found
