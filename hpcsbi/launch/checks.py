"""What can be wrong is wrong now: all arguments of all stages, before the first one starts."""

import os
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hpcsbi.arguments import did_you_mean, literal, refuse_wrong
from hpcsbi.cluster.site import Site, make_site
from hpcsbi.errors import BadInput
from hpcsbi.launch.checkout import CONF
from hpcsbi.launch.made_before import refuse_other_options
from hpcsbi.launch.ways import HERE, way_of
from hpcsbi.pipeline import STAGES
from hpcsbi.run.folder import finished_weights

# Files that a user names, and no stage makes.
NAMED = (("simulate", "theta"), ("ingest", "redshifts"), ("ingest", "ids"), ("learn", "ids"),
         ("crossmatch", "other"))  # fmt: skip


def check_stages(cfg: DictConfig, stages: Sequence[str], coming: Sequence[str] = ()) -> None:
    """Refuse what one of the stages would refuse: types, names, files, numbers of rows.

    Arguments:
        cfg: the configuration.
        stages: those that are about to run.
        coming: others whose products will be there by then, as their jobs are in the queue.

    Raises:
        Refusal, OSError: in one line what is wrong, and the mend.
    """
    _refuse_unknown_nodes(cfg)
    refuse_wrong(Site, OmegaConf.to_container(cfg.site, resolve=True), "site")
    make_site(cfg.site)
    if any(STAGES[stage].fans_out for stage in stages):  # the others need not wait for Dask
        _check_cluster(cfg.cluster)
    outs = [_node(cfg, stage).get("out") for stage in (*stages, *coming)]
    made = {os.path.abspath(out) for out in outs if isinstance(out, str)}
    _refuse_missing(cfg, stages, made)
    nodes = {stage: arguments(cfg, stage) for stage in stages}
    if "ingest" in nodes:
        ingest = import_module("hpcsbi.stages.ingest")
        keys = ("files", "survey", "redshifts", "ids")
        ingest.look_at_first(*(nodes["ingest"][key] for key in keys))
    _check_tables(cfg, nodes)
    _check_rows(nodes, made)
    for stage, node in nodes.items():
        refuse_other_options(stage, node)
    for stage, node in nodes.items():
        reads = {} if STAGES[stage].shows else STAGES[stage].reads
        for key, maker in reads.items():
            if _reads(key, node) and os.path.abspath(node[key]) not in made:
                _check_input(stage, key, maker, node)


def _refuse_missing(cfg: DictConfig, stages: Sequence[str], made: Collection[str]) -> None:
    """What is always read is there: told before the stages are imported, which takes seconds."""
    for stage in stages:
        node = _node(cfg, stage)
        reads = {} if STAGES[stage].shows else STAGES[stage].reads
        for key, maker in reads.items():
            at_times = key == "table" or (key == "catalogue" and "objects" in node)  # see `_reads`
            path = node.get(key)
            if at_times or not isinstance(path, str) or os.path.abspath(path) in made:
                continue
            if key == "flow":
                finished_weights(path)
            else:
                _refuse_absent(stage, key, maker, path)
        for path, key in ((node.get(key), key) for owner, key in NAMED if owner == stage):
            if isinstance(path, str) and not Path(path).is_file():
                raise FileNotFoundError(f"{stage}.{key}: {path} is not there, or is no file.")


def arguments(cfg: DictConfig, stage: str) -> dict[str, Any]:
    """The stage's arguments, all but the cluster, which exists inside the job only.

    Raises:
        BadInput: an unknown key, another type, a value out of range.
    """
    node = _node(cfg, stage)
    plain = {key: _plain(node[key]) for key in node if key != "cluster"}
    for key, value in plain.items():
        if isinstance(value, Mapping) and "_target_" in value:
            _check_object(with_files_read({key: value})[key], key)
    try:
        built = instantiate(with_files_read(plain), _convert_="all")
    except InstantiationException as error:
        raise error.__cause__ or error from None
    getattr(import_module(f"hpcsbi.stages.{stage}"), stage).check(**built)
    return built


def _node(cfg: DictConfig, stage: str) -> DictConfig:
    node = cfg[stage]
    if not OmegaConf.is_dict(node):
        raise BadInput(f"{stage} is {literal(node)}: it holds keys, set one as {stage}.KEY=VALUE.")
    return node


def with_files_read(node: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's node, in which the noise has the numbers of the learned error that it names.

    Raises:
        BadInput, OSError: that file is none, or not there, or damaged.
    """
    noise = node.get("noise")
    if not isinstance(noise, Mapping) or not isinstance(noise.get("learned"), str):
        return dict(node)
    read = import_module("hpcsbi.run.learned_errors").learned_error
    return {**node, "noise": {**noise, "learned": read(noise["learned"]).settings()}}


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _check_object(node: Mapping, where: str, whole: bool = True) -> None:
    """Compare a node that stands for an object with the arguments of its class."""
    module, _, name = str(node["_target_"]).rpartition(".")
    if module.split(".")[0] != "hpcsbi":
        raise BadInput(f"{where}._target_ is {literal(node['_target_'])}: nothing of hpcsbi.")
    try:
        kind = getattr(import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise BadInput(
            f"{where}._target_ is {literal(node['_target_'])}: hpcsbi has no such class; "
            f"take the one that the files in conf/{where}/ name (it may move with a version)."
        ) from error
    given = {key: value for key, value in node.items() if key != "_target_"}
    refuse_wrong(kind, given, where, whole)


def _check_cluster(node: DictConfig) -> None:
    """What of it does not depend on the job that it will run in."""
    known = {
        key: _plain(node[key])
        for key in node
        if not OmegaConf.is_interpolation(node, key) and key != "site"
    }
    _check_object(known, "cluster", whole=False)


@lru_cache(maxsize=1)
def top_level_keys() -> tuple[str, ...]:
    """Keys of the configuration, groups included."""
    file = OmegaConf.load(Path(CONF) / "config.yaml")
    groups = [key for entry in file.defaults if OmegaConf.is_dict(entry) for key in entry]
    names = [str(key).removeprefix("override ") for key in (*groups, *file)]
    return tuple(name for name in names if name not in ("defaults", "hydra", "hydra/job_logging"))


def _refuse_unknown_nodes(cfg: DictConfig) -> None:
    for key in cfg:
        if key not in top_level_keys() and key != "hydra":
            raise BadInput(
                f"{key} is not known{did_you_mean(key, top_level_keys()) or '.'} All keys are in "
                "conf/config.yaml."
            )


def _reads(key: str, node: Mapping[str, Any]) -> bool:
    """Whether a stage with these arguments reads what one of them names."""
    if key == "table" and "noise" in node:
        return node["noise"].instrument
    if key == "table":
        return node["source"] in ("table", "fresh")
    if key == "catalogue" and "objects" in node:
        return node["objects"] is None
    return True


def _check_input(stage: str, key: str, maker: str, node: Mapping[str, Any]) -> None:
    """Something that no stage of this call makes must be there."""
    path = node[key]
    if key == "flow":
        posterior = import_module("hpcsbi.run.flows").load_posterior(path)
        if node.get("certificate") and posterior.ssp is None:
            import_module("hpcsbi.stages.infer").refuse_without_table(path)
        return
    _refuse_absent(stage, key, maker, path)


def _refuse_absent(stage: str, key: str, maker: str, path: str) -> None:
    if not Path(path).exists():
        raise FileNotFoundError(
            f"{stage}.{key}: {path} does not exist: run the stage that makes it first "
            f"(jobs/{maker}.py)."
        )


def _check_tables(cfg: DictConfig, nodes: Mapping[str, Mapping]) -> None:
    """The shipped table fits what is asked for; FSPS is there where it is called."""
    tabulate, simulate, fit = (nodes.get(stage, {}) for stage in ("tabulate", "simulate", "fit"))
    shipped = False
    if tabulate:
        table = import_module("hpcsbi.stages.tabulate")
        shipped = table.takes_shipped(tabulate["demo"])
        if shipped:
            store = table.refuse_other_shipped(tabulate["grid"], tabulate["physics"])
            ssp_arrays = import_module("hpcsbi.simulator.table.ssp_arrays")
            ssp_arrays.check_table(store, tabulate["prior"])
    for node in filter(None, (tabulate, simulate)):
        check = import_module("hpcsbi.simulator.galaxy.physics").check_prior
        check(node["prior"].columns, node["physics"])
    if simulate and "augment" in nodes:
        noise, prior = nodes["augment"]["noise"], simulate["prior"]
        model = import_module("hpcsbi.simulator.model").Model
        model(prior, simulate["grid"], simulate["physics"], noise)
        import_module("hpcsbi.simulator.table.pixel_dispersions").check_instrument(
            noise, prior.columns
        )
        import_module("hpcsbi.run.noise_banks").with_bank(noise, simulate["grid"])
    calls = [
        (bool(tabulate) and not shipped, tabulate),
        (simulate.get("source") == "fsps", simulate),
        (fit.get("engine") == "prospector", fit),
    ]
    if any(called and not Path(node["out"]).exists() for called, node in calls):
        there = way_of(cfg) not in HERE and any("SPS_HOME" in x for x in cfg.site.setup)
        if not there:
            import_module("hpcsbi.simulator.direct.fsps_data").check_tree(
                os.environ.get("SPS_HOME")
            )


def _check_rows(nodes: Mapping[str, Mapping], made: set[str]) -> None:
    """More spectra are not held out than there are, and what is read of a product is in it."""
    simulate, augment = nodes.get("simulate"), nodes.get("augment")
    rows = None
    if simulate:
        rows, what = simulate["n"], "simulate.n"
        if simulate["theta"] is not None:
            theta = import_module("hpcsbi.stages.simulate").read_theta(
                simulate["theta"], simulate["prior"]
            )
            rows, what = len(theta), simulate["theta"]
    if augment and not simulate and Path(augment["simulations"]).exists():
        rows = import_module("hpcsbi.store.opening").open_store(augment["simulations"]).rows
        what = augment["simulations"]
    if not augment or rows is None:
        return
    held_out = augment["validation"] + augment["test"]
    if held_out > rows:
        raise BadInput(
            f"augment.validation={augment['validation']} and augment.test={augment['test']} are "
            f"more than the {rows} spectra of {what}: simulate more, or hold out fewer."
        )
    pairs = augment["copies"] * (rows - held_out)
    if not pairs + held_out:
        raise BadInput("augment.copies, validation and test are all 0: no pair would be made.")
    if "train" in nodes and nodes["train"]["source"] == "stored" and not pairs:
        raise BadInput(
            f"train.source=stored reads the copies of training spectra, and augment makes none: "
            f"augment.copies={augment['copies']} of {rows - held_out} that are not held out."
        )
    judged = nodes.get("calibrate", {}).get("pairs", "")
    if judged and os.path.abspath(judged) in made and not augment["test"]:
        raise BadInput("calibrate judges held-out test spectra: set augment.test > 0.")
