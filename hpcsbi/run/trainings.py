"""The trainings of a run: which are done, go on, wait or have failed, and why."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsbi.cluster import slurm
from hpcsbi.cluster.job_words import last_line
from hpcsbi.run.folder import FlowFolder, RunFolder
from hpcsbi.run.submissions import submitted_jobs
from hpcsbi.store.files import Damaged, load_weights, read_notes
from hpcsbi.store.locks import holders

__all__ = ["TrainingStatus", "trainings"]


@dataclass(frozen=True)
class TrainingStatus:
    """One flow, trained or on the way.

    Arguments:
        name: of its folder.
        folder: where it is or will be.
        state: "trained", "training", "waiting", "failed", "stopped" (nobody is at it)
            or "unknown" (SLURM cannot be asked).
        reason: of any other state than "trained", "" where there is nothing to say.
        settings: of the training as far as they are known: "flow" {"network", "hidden",
            "transforms"}, "representation", "steps" ...
        step: steps done.
        cpu_seconds: spent so far as `costs.jsonl` knows, None where it does not.
        job: last job that was to train it, "12_3" in an array; "" when there was none.
        log: what that job prints.
    """

    name: str
    folder: Path
    state: str
    reason: str
    settings: Mapping[str, Any]
    step: int
    cpu_seconds: float | None
    job: str
    log: str


@dataclass(frozen=True)
class _Task:
    job: str
    cluster: str | None
    log: Path
    flow: Mapping[str, Any]


def trainings(run: Path) -> list[TrainingStatus]:
    """All flows of a run: those that have a folder, and those that jobs were submitted for."""
    tasks = _tasks(run)
    folders = {os.path.relpath(flow.path, run) for flow in RunFolder(run).flows}
    states = _states(tasks)
    costs = _costs(RunFolder(run).costs)
    return [
        _training(run, out, tasks.get(out), states.get(out, {}), costs.get(out))
        for out in sorted(folders | set(tasks))
    ]


def _training(
    run: Path,
    out: str,
    task: _Task | None,
    states: Mapping[str, slurm.JobState] | str,
    cost: float | None,
) -> TrainingStatus:
    folder = FlowFolder(run / out)
    settings: dict = {"flow": dict(task.flow)} if task else {}
    state, reason, step = "", "", 0
    try:
        if done := _checked_header(folder.weights):
            settings = done["settings"]
            state, step = "trained", settings["steps"]
        elif begun := _checked_header(folder.checkpoint):
            settings, step = begun["settings"], begun["step"]
    except Damaged as error:
        state, reason = "failed", str(error)
    if not state:
        state, reason = _unfinished(folder.path, task, states)
    job, log = (task.job, str(task.log)) if task else ("", "")
    return TrainingStatus(
        folder.path.name, folder.path, state, reason, settings, step, cost, job, log
    )


def _checked_header(path: Path) -> dict | None:
    """Settings of weights that are whole, None where there are none (any more)."""
    try:
        return load_weights(path)[1]
    except FileNotFoundError:
        return None


def _unfinished(
    folder: Path, task: _Task | None, states: Mapping[str, slurm.JobState] | str
) -> tuple[str, str]:
    """State and reason of a flow that is not trained to the end."""
    job_state = states.get(task.job) if task and not isinstance(states, str) else None
    if job_state and job_state.active:
        if job_state.state == "PENDING":
            return "waiting", f"job {task.job}, {job_state.reason or 'no reason given'}"
        return "training", f"job {task.job}, {job_state.state}"
    if holders(folder):
        return "training", ""
    if task is None:
        return "stopped", "nobody trains it: give the command again, it goes on"
    if isinstance(states, str):
        return "unknown", f"job {task.job}: {states}"
    word = f"job {task.job} {_how_ended(job_state)}"
    line = last_line(task.log)
    return "failed", f"{word}: {line}" if line else f"{word}, and left no log"


def _how_ended(job_state: slurm.JobState | None) -> str:
    """How a job ended, in SLURM's word."""
    if job_state is None:
        return "ended (SLURM does not tell how)"
    code = job_state.exit_code.split(":")[0]
    return f"{job_state.state} (exit status {code})" if code not in ("", "0") else job_state.state


def _tasks(run: Path) -> dict[str, _Task]:
    """Product -> the last task that was submitted for it."""
    tasks = {}
    for line in submitted_jobs(run):
        for i, task in enumerate(line.get("tasks", [])):
            if line["stage"] == "train":
                log = Path(line["log"])  # a folder may have a percent sign too
                log = log.with_name(log.name.replace("%A", line["job"]).replace("%a", str(i)))
                job = f"{line['job']}_{i}"
                tasks[task["out"]] = _Task(job, line.get("cluster"), log, task["flow"])
    return tasks


def _states(tasks: Mapping[str, _Task]) -> dict[str, Mapping[str, slurm.JobState] | str]:
    """Product -> states of tasks; in words why they are not known where SLURM cannot be asked."""
    try:
        away = {
            out: task.cluster for out, task in tasks.items() if slurm.is_elsewhere(task.cluster)
        }
        here = tasks.keys() - away.keys()
        states = slurm.jobs({tasks[out].job.split("_")[0] for out in here})
    except slurm.SlurmError as error:
        return dict.fromkeys(tasks, str(error))
    told = {out: f"it is of the cluster {cluster}: ask there" for out, cluster in away.items()}
    return dict.fromkeys(here, states) | told


def _costs(path: Path) -> dict[str, float]:
    """Product -> CPU seconds of all calls that trained it."""
    costs: dict[str, float] = {}
    for line in read_notes(path, ("stage", "cpu_seconds"))[0]:
        if line["stage"] == "train" and "out" in line:
            costs[line["out"]] = costs.get(line["out"], 0.0) + line["cpu_seconds"]
    return costs
