"""A clone of the repository, and the Python that its jobs are started with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from hpcsbi.launch.checkout import BATCH_SCRIPT, CONF, PIPELINE

ROOT = Path(__file__).parents[2]


def test_what_stands_beside_the_package_is_found():
    """Configuration, script and batch script of the same clone."""
    assert Path(CONF, "config.yaml").is_file() and PIPELINE.is_file() and BATCH_SCRIPT.is_file()


def test_a_python_without_the_packages_says_so(tmp_path):
    """One line with the Python that has them, in place of a stack."""
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(ROOT / "jobs/train.py"), "name=x"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 2
    assert "has no hydra" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_package_of_another_clone_is_not_taken(tmp_path):
    """Its conf/ would count and the one beside the script not, in silence."""
    shutil.copytree(ROOT / "jobs", tmp_path / "clone/jobs")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "clone/jobs/status.py"), f"run={tmp_path}"],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert str(ROOT) in done.stderr and f"pip install -e {tmp_path}/clone" in done.stderr


def test_scripts_import_nothing_when_workers_import_them(tmp_path):
    """And `import tabulate` is the library, where there is one, not the script of that name."""
    program = "import runpy, sys; runpy.run_path(sys.argv[1]); print(sorted(sys.modules))"
    for script in (ROOT / "jobs").glob("[!e]*.py"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(script)],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        assert "'hydra'" not in done.stdout and "'hpcsbi'" not in done.stdout, script
