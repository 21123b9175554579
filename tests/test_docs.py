"""The documentation: its site builds without a warning, its examples run, its commands compose.

What commands of a block do is tested where this table says; here is tested that they are right.
"""

import re
import shlex
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import pytest
import yaml
from generated import BLOCK, agrees, arguments_of, catalogue_columns, with_tables
from mask_bits import MASK_BITS
from omegaconf import DictConfig

from hpcsbi.cluster.site import Site
from hpcsbi.launch.checks import arguments
from hpcsbi.launch.frozen import configuration_of
from hpcsbi.pipeline import STAGES
from hpcsbi.stages.release import release
from hpcsbi.store.files import read_parquet_header
from hpcsbi.survey.readers.formats import Survey

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FLOW = Path(configuration_of(["experiment=demo"]).train.out).name  # as the demo names its own
# First words of a command -> where it runs in a test.
RUNS = {
    "python3 -m venv": ".ci/run",  # makes its environment by the test command of the README
    "source": ".ci/run",
    "export": ".ci/run",
    "python jobs/pipeline.py": "tests/launch/test_whole_pipeline.py",
    "python jobs/ingest.py": "tests/stages/test_ingest.py",
    "python jobs/infer.py": "tests/stages/test_infer.py",
    "python jobs/learn.py": "tests/stages/test_learn.py",
    "python jobs/fit.py": "tests/stages/test_fit.py",
    "python jobs/release.py": "tests/stages/test_release.py",
    "python jobs/reproduce.py": "tests/stages/test_reproduce.py",
    "python jobs/train.py": "tests/launch/test_sweep.py",
    "python jobs/compare.py": "tests/stages/test_compare.py",
    "python jobs/crossmatch.py": "tests/stages/test_crossmatch.py",
    "python jobs/status.py": "tests/stages/test_status.py",
    "python jobs/doctor.py": "tests/launch/test_doctor.py",
    "python jobs/inspect.py": "tests/launch/test_inspection.py",
    "python jobs/plan.py": "tests/stages/test_plan.py",
    "python jobs/retry.py": "tests/launch/test_retry.py",
    "sbatch": "tests/launch/test_manual.py",
    "slurm/pipeline.sh": "tests/launch/test_submit.py",
    "slurm/lab.sh": "tests/lab.py",
}
OURS = {"site=mysite", "hydra/launcher=slurm_array", "-m", "--dry-run"}


def blocks(page: Path, language: str) -> list[str]:
    """Code of one language, in the order of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.M | re.S)


def commands() -> list[str]:
    """Every command of every page, one a line."""
    lines = [line for page in PAGES for block in blocks(page, "bash") for line in block.split("\n")]
    return sorted({line.split(" && ")[-1] if "jobs/" in line else line for line in lines if line})


@pytest.mark.parametrize("command", commands())
def test_commands_are_right(command):
    """Its program is there, a test runs it, and its options make a configuration."""
    command = command.removeprefix(".venv/bin/")
    first = next(words for words in RUNS if command.startswith(words))
    assert (ROOT / RUNS[first]).exists()
    program, *options = shlex.split(command)
    if program == "sbatch":
        program, stage, *options = [word for word in options if not word.startswith("--")]
        assert stage in STAGES
    elif program == "python":
        program, *options = options
    if not program.startswith(("jobs/", "slurm/")) or program == "slurm/lab.sh":
        return
    assert (ROOT / program).exists()
    options = [option for option in options if option not in OURS]
    if Path(program).stem == "inspect":  # takes paths
        return
    named = [option for option in options if "=" not in option]
    assert len(named) == (Path(program).stem in ("retry", "pipeline") and "=" not in options[0])
    single = [option for option in options if "=" in option]  # of a sweep the first of each
    single = [re.sub(r"^(flow\.\w+=\d+),.*", r"\1", option) for option in single]
    cfg = configuration_of(single)
    assert isinstance(cfg, DictConfig)
    if program == "jobs/pipeline.py" and "learned" not in command:
        for stage in ("simulate", "augment", "train", "infer"):
            assert arguments(cfg, stage)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.stem)
def test_examples_run(page, small_run, tmp_path, monkeypatch):
    """From top to bottom, in a folder with the run of the demo."""
    matplotlib.use("agg")
    run = tmp_path / "runs" / "demo"
    run.mkdir(parents=True)
    for each in small_run.iterdir():
        if each.name != "flows":
            (run / each.name).symlink_to(each)
    (run / "flows").mkdir()
    (run / "flows" / FLOW).symlink_to(small_run / "flows" / "demo")
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    monkeypatch.chdir(tmp_path)
    if "/release/" in page.read_text():
        release("runs/demo/release", "runs/demo/catalogue.zarr", ("fits", "parquet"), 0)

    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


def test_data_model_is_that_of_the_files(small_run):
    """Every column of a catalogue is on the page, and what is not in it is told to be optional."""
    import pandas as pd

    names = [*pd.read_parquet(small_run / "catalogue.parquet").columns]
    page = [column.name for column in catalogue_columns()]

    assert [name for name in page if not name.startswith("line_excess")] == names
    assert "flags" in read_parquet_header(small_run / "catalogue.parquet")


@pytest.mark.parametrize(
    "page", [each for each in PAGES if BLOCK.search(each.read_text())], ids=lambda page: page.stem
)
def test_tables_are_those_of_the_code(page):
    """Every block that the code makes, as it stands in the repository."""
    text = page.read_text()
    mend = f"the tables of {page.name} are not those of the code: run python docs/generated.py"

    assert text == with_tables(text), mend
    assert text.count("made by the code:") == len(BLOCK.findall(text)), "a comment has no end"


def test_a_table_that_differs_is_found():
    """A cell is made again, another text and a block of another page are left as they are."""
    text = (ROOT / "docs" / "flags.md").read_text()
    wrong = text.replace("| `EDGE` |", "| `EDGES` |").replace("# Flags", "# The flags")

    assert wrong.count("EDGES") == 1
    assert with_tables(wrong) == text.replace("# Flags", "# The flags")


@pytest.mark.parametrize("name", MASK_BITS)
def test_bits_that_mask_have_names(name):
    """No survey masks by a bit that its page does not tell; MaNGA has one table for both kinds."""
    bad = {
        each: yaml.safe_load((ROOT / "conf" / "survey" / f"{each}.yaml").read_text())["bad_bits"]
        for each in (name, "manga", "manga_cube")
    }

    assert MASK_BITS[name].keys() >= set(bad[name])
    assert bad["manga"] == bad["manga_cube"]


def test_numbers_of_draws_may_differ_in_their_last_digit():
    """And in no more than that; words may not, nor where a table has no draws."""
    row = "| sSFR 100 Myr | 8.1e-18 | 1.0 |"

    assert agrees(row, row.replace("8.1e-18", "8.2e-18").replace("1.0", "1.1"), 0.12)
    for other in ("8.1e-17", "9.9e-18"):
        assert not agrees(row, row.replace("8.1e-18", other), 0.12)
    assert not agrees(row, row.replace("sSFR", "SFR"), 0.12)
    assert not agrees(row, row.replace("1.0", "1.1"), 0.0)


def test_contributing_is_one_page_of_true_paths():
    """Files and folders that it names are there, and so is what its links lead to."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:hpcsbi|tests|benchmarks|docs|conf|jobs|slurm)/[\w/.]*)", text)
    linked = re.findall(r"\]\(([\w/.]+)#([\w-]+)\)", text)

    assert len(text.splitlines()) < 80 and len(named) > 15
    assert [path for path in named if not (ROOT / path.replace("NAME", "infer")).exists()] == []
    for path, anchor in linked:
        headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), flags=re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_every_stage_is_named():
    """In the tutorial or among the tasks."""
    text = "".join(page.read_text() for page in PAGES)

    assert all(f"`{name}`" in text or f"jobs/{name}.py" in text for name in STAGES)


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (ROOT / "conf" / "survey").glob("*.yaml"))
)
def test_every_survey_has_its_part(name):
    """With its options as they are, a command, and what real files it was tried with."""
    marked = f"<!-- made by the code: survey {name} -->"
    (text,) = [each.read_text() for each in PAGES if marked in each.read_text()]
    for words in (f"survey={name} ", "Real files tried", "## Know before you use it"):
        assert words in text
    assert f"`survey={name}`" in (surveys := (ROOT / "docs" / "surveys" / "index.md").read_text())
    assert f"{name.partition('_')[0]}.md" in surveys


def test_what_pages_name_is_there():
    """Benchmarks, tests, and files of the configuration and the package."""
    text = "".join(each.read_text() for each in (*PAGES, ROOT / "README.md"))
    folders = "benchmarks|tests|conf|hpcsbi|jobs|slurm"
    named = set(re.findall(rf"\b((?:{folders})/[\w/.-]*\w\.(?:py|yaml|sh|sbatch))\b", text))

    assert len(named) > 40
    yours = {"conf/prior/mine.yaml"} | {name for name in named if "NAME" in name or "STAGE" in name}
    assert sorted(name for name in named - yours if not (ROOT / name).exists()) == []


def test_options_of_classes_are_told_whole():
    """Every argument has its words: the tables are made of docstrings."""
    for documented in (Survey, Site):
        told = [name for key in arguments_of(documented) for name in key.split(", ")]
        assert told == [each.name for each in fields(documented)]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not installed: the extra docs")
def test_the_site_builds(tmp_path):
    """Without a warning: no dead link, no missing name."""
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-d", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stderr
    pages = {path.parent.name: path.read_text() for path in tmp_path.rglob("index.html")}
    assert {path.stem for path in PAGES} - {"index"} <= {*pages}
    assert "WEAK_WEIGHTS" in pages["flags"] and "tage_*" in pages["data-model"]
    assert "load_flow" in pages["reference"] and "fonts.g" not in pages["reference"]
