"""What `inspect` prints of the products of a run, and of what is none."""

import shutil
import sys

import pytest

from hpcsbi.launch import inspection
from hpcsbi.launch.frozen import configuration_of
from hpcsbi.launch.inspection import NEXT, description, main
from hpcsbi.pipeline import STAGES
from hpcsbi.run.products import product_of
from hpcsbi.store.opening import open_store


def lines(path) -> list[str]:
    return [*description(product_of(path))]


def of_kind(told: list[str], head: str) -> list[str]:
    """Texts behind one heading."""
    return [line[13:] for line in told if line.startswith(f"  {head:{inspection.WIDE}} ")]


def test_a_catalogue_explains_itself(small_run):
    """Maker, settings, origin, model in words, columns with units, and what comes next."""
    told = lines(small_run / "catalogue.parquet")

    assert told[0] == str(small_run / "catalogue.parquet")
    assert of_kind(told, "made by") == ["jobs/infer.py"]
    assert "draws=400" in of_kind(told, "settings")[0]
    assert "of this version" in of_kind(told, "settings")[0]
    assert any("noise.kind=survey" in text for text in of_kind(told, "made of"))
    assert any("delayed exponential" in text for text in of_kind(told, "model"))
    assert "torch" in of_kind(told, "machine")[0]
    tage = next(line for line in told if line.startswith("    tage_* "))
    assert tage.endswith("[Gyr] the posterior of tage: time since star formation began")
    assert any("jobs/release.py" in text for text in of_kind(told, "next"))


def test_each_command_that_is_named_is_right(small_run, tmp_path):
    """Its job reads the product, and its options make a configuration; a copy is named by path."""
    assert NEXT.keys() | {*inspection.BROWSER, "learn", "release", "reproduce"} == {
        stage.name for stage in STAGES.values() if stage.product
    }
    for stage, jobs in NEXT.items():
        assert all(stage in STAGES[job].reads.values() for job in jobs)
    copy = shutil.copytree(small_run / "flows" / "demo", tmp_path / "best")
    for path in (small_run / "spectra.zarr", small_run / "flows" / "demo", copy):
        for command in of_kind(lines(path), "next"):
            python, job, *options = command.split()
            assert python == "python" and job.startswith("jobs/")
            configuration_of(options)
    assert f"infer.flow={copy}" in command
    assert f"run={small_run}" in of_kind(lines(small_run / "spectra.zarr"), "next")[0]


def test_options_of_a_run_come_again(small_run, tmp_path, monkeypatch):
    """The experiment that Hydra noted, and the folder only where it is not that of the name."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "mine"
    shutil.copytree(small_run / "spectra.zarr", run / "spectra.zarr")
    notes = run / "hydra" / "pipeline" / ".hydra"
    notes.mkdir(parents=True)
    (notes / "overrides.yaml").write_text("- experiment=survey\n- name=mine\n- train.steps=5\n")

    def told():
        return of_kind(lines(run / "spectra.zarr"), "next")

    assert told() == ["python jobs/infer.py experiment=survey name=mine"]
    (notes / "overrides.yaml").write_text("- experiment=survey\n- run=elsewhere\n")
    assert told() == [f"python jobs/infer.py experiment=survey run={run}"]
    (notes / "overrides.yaml").write_text(": [")
    assert told() == [f"python jobs/infer.py run={run}"]


def test_what_is_missing_is_made_by_the_same_command(small_run, tmp_path):
    """Of a store that was killed, and of a run that holds it."""
    run = shutil.copytree(small_run, tmp_path / "run")
    open_store(run / "catalogue.zarr").forget(0)

    (command,) = of_kind(lines(run / "catalogue.zarr"), "next")
    assert f"python jobs/infer.py run={run}: the same command" in command
    assert "  catalogue.zarr: NOT whole: 2 of 3 shards, 2 rows (see its notice)" in lines(run)
    (run / "spectra.zarr" / "zarr.json").write_text("{")
    assert any("spectra.zarr is not a Zarr store" in line for line in lines(run))


def test_several_paths_and_a_status(small_run, tmp_path, monkeypatch, capsys):
    """What is none of ours costs a line and the status 2, and the others are told."""
    paths = [str(tmp_path / "nowhere"), str(small_run / "spectra.zarr")]
    monkeypatch.setattr(sys, "argv", ["inspect.py", *paths])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    assert end.value.code == 2 and printed.err.startswith(f"error: {paths[0]} does not exist")
    assert "jobs/ingest.py" in printed.out


def test_a_terminal_gets_lines_that_fit(small_run, monkeypatch):
    """In a log a line is a line."""
    assert max(map(len, lines(small_run / "catalogue.zarr"))) > 200
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "90")
    told = lines(small_run / "catalogue.zarr")
    assert max(len(line) for line in told[1:] if "/" not in line) <= 90
