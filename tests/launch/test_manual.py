import ast
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsbi.launch.checkout import ROOT
from hpcsbi.launch.frozen import configuration_of
from hpcsbi.launch.manual import manual
from hpcsbi.pipeline import STAGES


def test_help_is_of_the_job():
    """Its own node with the comments, the choices of its groups, and where the rest is."""
    train, infer = manual("train", "Fit.", ("train",)), manual("infer", "Infer.", ("infer",))

    assert "steps: 20000" in train and "source: fresh  # fresh or stored" in train
    assert "best         zuko's masked autoregressive flow" in train
    assert "keep_draws" not in train and "keep_draws" in infer and "steps:" not in infer
    assert "conf/config.yaml" in train and "demo " in train


def test_what_is_read_made_and_needed_is_that_of_the_table():
    """With the job that makes what is read."""
    infer, status = manual("infer", "", ("infer",)), manual("status", "", ("status",))

    assert "reads  flows/*: a trained flow" in infer and "(jobs/train.py)" in infer
    assert "makes  catalogue.zarr, and .parquet beside it" in infer
    assert "needs  files of a survey" in manual("ingest", "", ("ingest",))
    assert "makes  nothing: it looks" in status and "cluster=" not in status
    assert "site=" in manual("doctor", "", ()) and "site=" not in infer


def test_units_stand_with_the_keys_of_groups():
    """Those of the docstrings of what a group makes."""
    told = manual("ingest", "", ("ingest",))
    assert (
        "grid.first: 3750.0\\n      centres of the first and last pixel, Angstrom"
        in told.replace("\n", "\\n")
    )


@pytest.mark.parametrize("name", STAGES)
def test_every_setting_has_its_meaning(name):
    """A key of a node without a line below it is one that the docstring forgets."""
    told = manual(name, "", (name,)).splitlines()
    for key in configuration_of([])[name]:
        (i,) = [i for i, line in enumerate(told) if line.startswith(f"  {key}: ")]
        assert told[i + 1].startswith("      "), f"{name}.{key}"
    assert not any(word in line for line in told for word in (" None", " True", " False"))


def test_help_imports_no_library_that_computes():
    """Which takes seconds: torch, Zarr's readers of stages, numba."""
    code = (
        "import sys; sys.argv = ['jobs/infer.py', '--help'];"
        "from hpcsbi.launch.tasks import start\n"
        "try: start('infer')\n"
        "except SystemExit: pass\n"
        "print(*sorted({'torch', 'numba', 'scipy', 'sbi'} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "reads  flows/*" in done.stdout and done.stderr.strip() == ""


def test_meanings_are_read_without_an_import():
    """The module says so, and this keeps it."""
    tree = ast.parse((Path(ROOT) / "hpcsbi" / "launch" / "manual.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {each for each in modules if each.startswith("hpcsbi")} == {
        "hpcsbi.launch.checkout",
        "hpcsbi.pipeline",
    }
