"""Say what the rest of a run takes; speeds that it has not measured are tried on a few rows."""

import io
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from importlib import import_module
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from hpcsbi.cluster.executors import Enough, Probe, Serial
from hpcsbi.errors import BadInput, Refusal
from hpcsbi.launch.job import run_stage
from hpcsbi.pipeline import AT_ONCE, STAGES, stages_of_run
from hpcsbi.stages.plan import missing_inputs, works
from hpcsbi.store.opening import open_store

FSPS_ROWS = 8  # of a piece: with FSPS a spectrum takes long
# What is made for those that read it: few rows, and yet more than a stage is tried on.
FEW = {"tabulate": {}, "simulate": {"n": 2048}, "augment": {"validation": 512, "test": 512}}
OF_SPEED = (
    "training",
    "table",
    "source",
    "flow",
    "representation",
    "batch",
    "passes",
    "device",
    "compiled",
    "threads",
)


def plan(cfg: DictConfig) -> int:
    """Fill in what is not known, then plan."""
    stages = _long_stages(cfg)
    cfg.plan.outs = {stage: cfg.plan.outs[stage] for stage in stages}
    cfg.plan.rows = {**cfg.plan.rows, **_rows(cfg)}
    if cfg.plan.probe:
        for stage in _stages_to_try(cfg):
            _try(stage, cfg)
        _try_beyond(cfg)
    return run_stage("plan", cfg)


def _long_stages(cfg: DictConfig) -> list[str]:
    """Stages of the run that take long, with `fit` where it is asked for or has begun."""
    stages = [
        stage for stage in stages_of_run(bool(cfg.ingest.files)) if STAGES[stage].unit != AT_ONCE
    ]
    fits = cfg.fit.objects is not None or Path(cfg.fit.out).exists()
    return [*stages, "fit"] if fits else stages


def _rows(cfg: DictConfig) -> dict[str, int | None]:
    """Rows that stages will make, as far as the options tell."""
    rows, objects = {}, cfg.fit.objects
    if objects is not None:
        rows["fit"] = objects if isinstance(objects, int) else len(objects)
    if cfg.simulate.theta is not None:
        return rows | {"simulate": None}
    held_out = cfg.augment.validation + cfg.augment.test
    return rows | {"augment": cfg.augment.copies * max(cfg.simulate.n - held_out, 0) + held_out}


def _stages_to_try(cfg: DictConfig) -> list[str]:
    """Stages with work left and all they need, whose speed or number of rows is not known."""
    outs = instantiate(cfg.plan.outs, _convert_="all")
    return [stage for stage in _unknown(cfg) if not missing_inputs(stage, outs)]


def _unknown(cfg: DictConfig) -> list[str]:
    """Stages with work left whose speed or number of rows is not known."""
    node = instantiate(cfg.plan, _convert_="all")
    stage_works = works(*(node[name] for name in ("run", "outs", "rows", "shards", "rates")))
    return [
        work.stage
        for work in stage_works
        if not work.error and work.left != 0 and (work.left is None or work.rate is None)
    ]


def _try_beyond(cfg: DictConfig) -> None:
    """Measure stages that read what is not there yet, on few rows of it, made beside the run.

    As far as training: how long a spectrum takes depends on how good its flow is, and with one of a
    few steps it takes twenty times as long. Nor is a table made that takes FSPS.
    """
    waiting = [stage for stage in (*FEW, "train") if stage in _unknown(cfg)]
    if not waiting or cfg.simulate.source == "fsps" or cfg.simulate.theta is not None:
        return
    shipped = import_module("hpcsbi.stages.tabulate").takes_shipped(cfg.tabulate.demo)
    if not (shipped or Path(cfg.tabulate.out).exists()):
        return
    with tempfile.TemporaryDirectory() as folder:
        small = deepcopy(cfg)
        for stage, few in FEW.items():
            small[stage].update(few)
            if stage in waiting:
                _try(stage, small)
            if not Path(cfg[stage].out).exists():
                small[stage].out = str(Path(folder) / Path(cfg[stage].out).name)
                if not _is_made(stage, small):
                    break
        else:
            if "train" in waiting:
                _try("train", small)
    rates = {stage: small.plan.rates[stage] for stage in waiting if stage in small.plan.rates}
    cfg.plan.rates = {**rates, **cfg.plan.rates}


def _is_made(stage: str, cfg: DictConfig) -> bool:
    """Make the product of a stage, all of it and without a word; False if the stage refuses."""
    node = {key: value for key, value in cfg[stage].items() if key != "cluster"}
    arguments = instantiate(node, _convert_="all")
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            getattr(import_module(f"hpcsbi.stages.{stage}"), stage)(**arguments, cluster=Serial())
    except (Refusal, OSError) as error:
        print(f"what reads {stage} cannot be tried: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _try(stage: str, cfg: DictConfig) -> None:
    """Measure a stage beside the run, and note speed and rows in the node `plan`."""
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),  # bars
        ):
            rate, rows = _probe(stage, deepcopy(cfg), Path(folder))
    except (Refusal, OSError) as error:
        print(f"{stage} cannot be tried: {error}", file=sys.stderr, flush=True)
        return
    cfg.plan.rates = {stage: rate, **cfg.plan.rates}
    if rows is not None:
        cfg.plan.rows = {**cfg.plan.rows, stage: rows}


def _probe(stage: str, cfg: DictConfig, folder: Path) -> tuple[float, int | None]:
    """Rows or steps a second, and how many rows there will be."""
    if stage == "train":
        arguments = instantiate({key: cfg.train[key] for key in OF_SPEED}, _convert_="all")
        return import_module("hpcsbi.stages.train").speed(**arguments), None
    if stage == "fit" and cfg.fit.engine == "prospector":
        raise BadInput("a chain of direct FSPS takes hours to days (fit.engine=table: seconds).")
    node, files, chosen = cfg[stage], 1, None
    node.out = str(folder / Path(node.out).name)
    node.shard = min(node.shard, _piece(stage, cfg))
    if stage == "ingest":
        chosen = node.ids and len(import_module("hpcsbi.survey.object_lists").read_ids(node.ids))
        files = _first_file(node)
    arguments = instantiate({k: v for k, v in node.items() if k != "cluster"}, _convert_="all")
    start = time.monotonic()
    try:
        getattr(import_module(f"hpcsbi.stages.{stage}"), stage)(**arguments, cluster=Probe())
        made, seconds = None, time.monotonic() - start
    except Enough as end:
        made, seconds = end.piece, end.seconds
    store = open_store(node.out)
    rows = store.rows_of(made) if made is not None else slice(0, store.rows)
    there = store.rows * files
    return (rows.stop - rows.start) / max(seconds, 1e-6), min(there, chosen or there)


def _piece(stage: str, cfg: DictConfig) -> int:
    if stage == "simulate" and cfg.simulate.source == "fsps":
        return FSPS_ROWS
    return STAGES[stage].probe


def _first_file(node: DictConfig) -> int:
    """Leave the first file alone, and return how many there are: all are taken to be like it.

    All its rows, whatever objects are chosen: these may lie in other files.
    """
    files = import_module("hpcsbi.stages.ingest").find_files(
        instantiate(node.files, _convert_="all")
    )
    node.files, node.ids, node.redshifts = [str(files[0])], None, None
    return len(files)
