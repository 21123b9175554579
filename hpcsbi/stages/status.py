"""How far a run is: read from the marks of its stores, writing nothing."""

import json as json_format
import os
from collections.abc import Iterable
from pathlib import Path

from hpcsbi.arguments import checked
from hpcsbi.cluster import job_words
from hpcsbi.cluster.slurm_commands import SlurmError
from hpcsbi.errors import file_trouble
from hpcsbi.pipeline import STAGES
from hpcsbi.run import submissions
from hpcsbi.run.folder import RunFolder, verdict_of
from hpcsbi.run.merges import is_behind, table_of
from hpcsbi.run.page_sources import why_old
from hpcsbi.run.progress import flow_progress, store_progress, work_left
from hpcsbi.run.submissions import retry_command
from hpcsbi.store.files import Damaged, read_object
from hpcsbi.terminal import duration, printable

__all__ = ["status"]

MAKERS = {stage.product: stage.name for stage in STAGES.values() if stage.fans_out}


@checked()
def status(run: str, json: bool = False, verify: bool = False) -> None:
    """Print what of a run is done, running, failed and missing, and how long the rest takes.

    Of jobs that were submitted to SLURM their states are told too, why they wait, and the last
    words of those that failed.

    Arguments:
        run: folder of the run.
        json: print JSON for a program in place of lines for a reader.
        verify: compare every file of every store with its checksum.

    Raises:
        FileNotFoundError: there is no such run.
        PermissionError: there is one, which this user may not read.
        Damaged: with `verify`, after all is printed: something is damaged.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder.absolute()} does not exist: start it with python jobs/tabulate.py "
            f"name={folder.name}, or choose another with name=... or run=..."
        )
    os.listdir(folder)  # that of another user ends here, in the words of `file_trouble`
    overview = {
        "run": str(folder),
        "stores": [
            {"name": str(path.relative_to(folder)), "stage": MAKERS[path.name]}
            | _store(path, verify)
            for path in _stores(folder)
        ],
        "flows": [
            {"name": str(path.relative_to(folder)), "stage": "train"} | flow_progress(path, verify)
            for path in _flows(folder)
        ],
        "pages": list(_pages(folder)),
        "verdicts": [_verdict(path, folder) for path in _verdicts(folder)],
        **_jobs(folder),
        "retry": retry_command(folder),
    }
    overview["left"] = _left(folder, overview)
    print(
        json_format.dumps(overview, indent=1) if json else "\n".join(_lines(overview)), flush=True
    )
    damage = [
        line for entry in (*overview["stores"], *overview["flows"]) for line in _damage(entry)
    ]
    if verify and damage:
        raise Damaged("damaged:\n  " + "\n  ".join(damage))
    if verify and not json:
        print("every file has its checksum.")


def _store(path: Path, verify: bool) -> dict:
    return store_progress(path, verify) | _table(path)


def _jobs(folder: Path) -> dict:
    """Jobs of the run, and why their states are not known where they are not."""
    try:
        return {"jobs": submissions.ask(folder), "slurm": ""}
    except SlurmError as error:
        return {"jobs": submissions.jobs_without_states(folder), "slurm": str(error)}


def _left(folder: Path, overview: dict) -> list[str]:
    """Stages that jobs were submitted for and that are not done, once no job waits or runs."""
    jobs = [job for job in overview["jobs"] if job["newest"]]
    unknown = overview["slurm"] or any(job["elsewhere"] for job in jobs)
    if unknown or any(job["active"] for job in overview["jobs"]):
        return []
    outs = {job["stage"]: job["outs"][0] for job in jobs if job["outs"] and not _is_sweep(job)}
    return [stage for stage, out in outs.items() if _has_work(stage, folder / out)]


def _is_sweep(job: dict) -> bool:
    """True of an array that makes many products, which is no part of what a retry submits."""
    return len(job["outs"] or ()) > 1


def _has_work(stage: str, out: Path) -> bool:
    try:
        return work_left(stage, out, verify=False) is not None
    except (Damaged, OSError):  # which is told of the product
        return True


def _runs(folder: Path) -> list[RunFolder]:
    """The run, and any that lies in its folder."""
    return [RunFolder(path) for path in (folder, *folder.iterdir()) if path.is_dir()]


def _stores(folder: Path) -> list[Path]:
    """Stores of the run and of one beside it, in the order in which stages make them."""
    order = list(MAKERS)
    stores = (path for run in _runs(folder) for path in run.path.glob("*.zarr"))
    paths = [path for path in stores if path.name in MAKERS]
    return sorted(paths, key=lambda path: (len(path.parts), path.parent, order.index(path.name)))


def _table(path: Path) -> dict:
    """Whether the Parquet file of a catalogue lacks something that its stores hold."""
    if MAKERS[path.name] != "infer":
        return {}
    try:
        return {"behind": table_of(path).exists() and is_behind(path)}
    except (Damaged, OSError):  # which is told of the store, or here, when it is written
        return {}


def _flows(folder: Path) -> list[Path]:
    return sorted(flow.path for run in _runs(folder) for flow in run.flows)


def _verdicts(folder: Path) -> list[Path]:
    name = verdict_of(RunFolder(folder).calibration).name
    return sorted(path for run in _runs(folder) for path in run.path.glob(name))


def _pages(folder: Path) -> Iterable[dict]:
    """Pages that are there, and why one does not show what lies there now."""
    for run in _runs(folder):
        page = run.path / STAGES["report"].product
        if page.exists():
            try:
                old = why_old(page)
            except OSError as error:
                old = file_trouble(error)
            yield {"name": str(page.relative_to(folder)), "old": old}


def _damage(entry: dict) -> Iterable[str]:
    """What is damaged in a store or a flow, and the job that makes it again."""
    again = f"run jobs/{entry['stage']}.py again"
    if "error" in entry:
        mend = f" ({again})" if entry.get("readable", True) else ""
        yield f"{printable(entry['error'])}{mend}"
    for name in entry.get("coordinates", ()):
        yield f"{entry['name']}: array {name}; {again}"
    if shards := entry.get("damaged"):
        numbers = ", ".join(map(str, shards))
        yield f"{entry['name']}: shard{'s' * (len(shards) > 1)} {numbers}; {again}"


def _verdict(path: Path, folder: Path) -> dict:
    entry = {"name": str(path.relative_to(folder))}
    try:
        verdict = read_object(path)
    except Damaged as error:
        return entry | {"error": str(error)}
    except OSError as error:
        return entry | {"error": file_trouble(error)}
    return entry | {key: verdict.get(key) for key in ("passed", "n", "reasons")}


def _lines(overview: dict) -> Iterable[str]:
    """The same for a reader."""
    yield overview["run"]
    named = [*overview["stores"], *overview["flows"], *overview["verdicts"], *overview["pages"]]
    wide = max((len(entry["name"]) for entry in named), default=0)
    if not overview["stores"]:
        yield f"  nothing is there yet: {_how_to_begin(overview)}"
    for store in overview["stores"]:
        again = _again(store["stage"], store["name"], overview)
        yield f"  {store['name']:{wide}} {_progress(store, again)}"
        if store.get("failure"):
            failure = store["failure"]
            why = printable(failure["reason"])
            yield f"  {'':{wide}} shard {failure['shard']} failed: {why}"
            yield f"  {'':{wide}} {again}: it makes only what is missing"
        yield from (f"  {'':{wide}} {_driver(holder)}" for holder in _few(store.get("holders", ())))
    for flow in overview["flows"]:
        yield f"  {flow['name']:{wide}} {_training(flow)}"
        yield from (f"  {'':{wide}} {_driver(holder)}" for holder in flow["holders"])
    for verdict in overview["verdicts"]:
        yield f"  {verdict['name']:{wide}} {_judgement(verdict)}"
    for page in overview["pages"]:
        if page["old"]:
            again = _again("report", page["name"], overview)
            yield f"  {page['name']:{wide}} {page['old']}: {again}"
    if overview["jobs"]:
        yield "SLURM" + (f": {printable(overview['slurm'])}" if overview["slurm"] else "")
        yield from (f"  {line}" for line in job_words.lines(overview["jobs"]))
    if overview["left"]:
        stages = ", ".join(overview["left"])
        yield f"{overview['retry']} submits what failed or is missing: {stages}"


def _how_to_begin(overview: dict) -> str:
    if any(job["active"] for job in overview["jobs"]):
        return "its jobs wait or run"
    return overview["retry"] if overview["jobs"] else "start with python jobs/tabulate.py"


def _again(stage: str, name: str, overview: dict) -> str:
    """What makes the rest of a product: a job in the queue, a retry, or the job by hand."""
    ours = [] if "/" in name else [job for job in overview["jobs"] if not _is_sweep(job)]
    jobs = [job for job in ours if job["stage"] == stage]
    if active := [job for job in jobs if job["active"]]:
        return f"job {active[0]['job']} makes it again"
    return overview["retry"] if jobs else f"run jobs/{stage}.py with the same options again"


def _progress(store: dict, again: str) -> str:
    if "error" in store:
        return printable(store["error"])
    text = f"{store['done']} of {store['shards']} shards"
    for state in ("running", "failed", "missing"):
        text += f", {store[state]} {state}" if store[state] else ""
    text += f", {len(store['damaged'])} damaged" if store["damaged"] else ""
    text += "".join(f", array {name} damaged" for name in store["coordinates"])
    behind = f", its Parquet file is behind: {again}" if store.get("behind") else ""
    return f"{text}, {store['rows_done']} rows" + _pace(store, "rows") + behind


def _training(flow: dict) -> str:
    if "error" in flow:
        return printable(flow["error"])
    text = "trained, " if flow["trained"] else "running, " if flow["running"] else ""
    return f"{text}step {flow['step']} of {flow['steps'] or '?'}" + _pace(flow, "steps")


def _pace(entry: dict, unit: str) -> str:
    """How fast it goes and how long it takes yet, as far as that is known."""
    rate, left = entry[f"{unit}_per_second"], entry["seconds_left"]
    text = f", {rate:,.0f} {unit}/s" if rate and rate >= 10 else ""
    text = f", {rate:.2g} {unit}/s" if rate and rate < 10 else text
    return text if left is None else f"{text}, {duration(left)} left"


def _few(holders: list[dict]) -> list[dict]:
    """An array may have thousands at work: they are counted, not listed."""
    return holders if len(holders) <= 2 else []


def _driver(holder: dict) -> str:
    job = f"job {holder['job']}, " if holder["job"] else ""
    return f"at work: {job}process {holder['pid']} on {holder['host']} since {holder['since']}"


def _judgement(verdict: dict) -> str:
    if "error" in verdict:
        return verdict["error"]
    text = "calibrated" if verdict["passed"] else "NOT calibrated"
    return "; ".join([f"{text}, {verdict['n']} spectra", *(verdict["reasons"] or [])])
