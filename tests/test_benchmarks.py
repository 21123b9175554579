"""The table of the benchmarks: what it names is there, and says where it comes from."""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def run():
    """The script as a module."""
    spec = spec_from_file_location("run_benchmarks", FOLDER / "run.py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks for it there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_figure_has_its_script(run):
    """And a pattern with a group, which is what is told."""
    assert all((FOLDER / f"{figure.name}.py").exists() for figure in run.FIGURES)
    assert all(re.compile(figure.pattern).groups for figure in run.FIGURES)


def test_ratios_are_the_default(run):
    """They need no run; all and some are asked for."""
    ratios = run.chosen(run.FIGURES, False, None)
    assert 0 < len(ratios) < len(run.chosen(run.FIGURES, True, None)) == len(run.FIGURES)
    assert not any("{" in figure.command for figure in ratios)
    assert {figure.name for figure in run.chosen(run.FIGURES, False, ["psis"])} == {"psis"}


def test_figures_are_what_a_pattern_matches(run):
    """In every line that fits; a bar would end a cell of the table."""
    text = "5 parameters: a ratio 2.5\n7 parameters: a ratio 3\n| a | b |\n"
    assert run.told(r"ratio ([\d.]+)", text) == "2.5; 3"
    assert run.told(r"^\| (.*) \|$", text) == "a / b"
    assert run.told("nothing", text) == ""


def test_the_head_says_machine_and_date(run):
    """With the load, which spoils what is measured."""
    assert re.match(
        r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, hpcsbi .* cores, load [\d.]+; Python", run.machine()
    )


def test_main_leaves_out_names_and_fails(run, tmp_path, monkeypatch, capsys):
    """What needs a run is named; one that takes too long or prints nothing is a failure."""
    script = tmp_path / "slow.py"
    script.write_text("import time; time.sleep(30)")
    figures = (
        run.Figure("needs a run", "slow.py {flow}", "(x)", ratio=True),
        run.Figure("too long", "slow.py", "(x)", ratio=True),
    )
    monkeypatch.setattr(run, "FIGURES", figures)
    monkeypatch.setattr(run, "HERE", tmp_path)
    arguments = ["run.py", "--budget", "0.2", "--out", str(tmp_path / "table.md")]
    monkeypatch.setattr(sys, "argv", arguments)

    assert run.main() == 1
    table = (tmp_path / "table.md").read_text()
    assert "| needs a run | left out | `slow.py {flow}` |" in table
    assert "| too long | FAILED | `python benchmarks/slow.py` |" in table
    assert table == capsys.readouterr().out
