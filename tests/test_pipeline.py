"""The table of the stages is what the configuration, the modules, the jobs and the README say."""

import inspect
import os
import re
from collections.abc import Callable
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hpcsbi.launch.frozen import configuration_of
from hpcsbi.pipeline import OF_A_RUN, STAGES, stages_of_run, upstream, waits

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "conf/config.yaml"
ASKED_FOR = ("fit", "learn", "release")
NO_STAGE = {"doctor", "environment", "inspect", "pipeline", "retry", "submit"}


def function(stage: str) -> Callable:
    return getattr(import_module(f"hpcsbi.stages.{stage}"), stage)


def modules(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob("[!_]*.py")}


def whole(folder: str, prefix: str) -> set[str]:
    """Modules of a folder without the prefix, but those of a part of a stage."""
    names = {name.removeprefix(prefix) for name in modules(folder)}
    return {name for name in names if not any(name.startswith(f"{stage}_") for stage in STAGES)}


def test_every_stage_has_its_places():
    """A module, a job, a node, tests and a line for its users: nothing less, and no other."""
    nodes = {key for key, node in OmegaConf.load(CONFIG).items() if OmegaConf.is_dict(node)}
    table = re.findall(r"^\| `(\w+)` \| ", (ROOT / "README.md").read_text(), flags=re.MULTILINE)

    assert whole("hpcsbi/stages", "") == set(STAGES)
    assert modules("jobs") - NO_STAGE == set(STAGES)
    assert nodes - {"hydra"} == set(STAGES)
    assert whole("tests/stages", "test_") == set(STAGES)
    assert set(STAGES) <= set(table)


@pytest.mark.parametrize("name", STAGES)
def test_the_table_is_the_configuration(name):
    """What a stage reads are the references of its node; its product is where the table says."""
    node, cfg = OmegaConf.to_container(OmegaConf.load(CONFIG))[name], configuration_of([])
    references = {key: re.fullmatch(r"\$\{(\w+)\.out\}", str(value)) for key, value in node.items()}
    reads = {key: match[1] for key, match in references.items() if match}

    assert reads == STAGES[name].reads
    assert ("out" in node) == bool(STAGES[name].product)
    if "out" in node:
        assert fnmatch(os.path.relpath(cfg[name].out, cfg.run), STAGES[name].product)


@pytest.mark.parametrize("name", STAGES)
def test_the_table_is_the_signature(name):
    """A stage that fans out takes shards and a cluster, and has a size to try it with."""
    takes, stage = inspect.signature(function(name)).parameters, STAGES[name]

    assert stage.fans_out == ("shard" in takes) == ("cluster" in takes)
    assert stage.fans_out == (stage.probe is not None)
    assert stage.seed is None or "seed" in takes


def test_what_is_read_is_made_before():
    """The order of the table is one in which a run can go."""
    order = list(STAGES)

    assert all(order.index(r) < order.index(s) for s in order for r in STAGES[s].reads.values())
    assert list(OF_A_RUN) == [name for name in order if name in OF_A_RUN]


def test_chains():
    """Without real spectra nothing that needs them; never what one has to ask for."""
    needs_spectra = {name for name in STAGES if "ingest" in upstream(name)} - {
        "report",
        "crossmatch",
        "reproduce",
    }
    model, survey = stages_of_run(spectra=False), stages_of_run(spectra=True)

    assert upstream("train") == ("tabulate", "simulate", "augment", "train")
    assert set(upstream("calibrate")) < set(model) and model[-1] == survey[-1] == "report"
    assert set(survey) - set(model) == needs_spectra - set(ASKED_FOR) >= {"ingest", "infer"}
    assert not {*ASKED_FOR, "crossmatch", "status", "plan", "compare"} & set(survey)


def test_a_job_waits_for_all_it_reads():
    """Some stages of a chain may be submitted without those between; only a verdict stops none."""
    assert waits("calibrate") == {"train": "afterok", "augment": "afterok"}
    assert waits("report")["fit"] == "afterok" and waits("report")["calibrate"] == "afterany"
