"""Compare the flows of a run: which is best, how surely, and at what cost; sweep.html."""

import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from hpcsbi import __version__
from hpcsbi.arguments import Count, Natural, checked
from hpcsbi.errors import BadInput
from hpcsbi.inference.sampling.posterior import Posterior
from hpcsbi.report import diagnostic_plots, page
from hpcsbi.report.ranking import CONFIDENCE, cells, standings
from hpcsbi.run.flows import load_posterior, refuse_other_model
from hpcsbi.run.folder import RunFolder, verdict_of
from hpcsbi.run.trainings import TrainingStatus, trainings
from hpcsbi.seeds import object_seed
from hpcsbi.simulator.pairs import split_of
from hpcsbi.simulator.table.batch import Batch
from hpcsbi.store.files import Damaged, read_object, write_atomically
from hpcsbi.store.opening import Incomplete, open_complete, open_store
from hpcsbi.store.settings import Mismatch
from hpcsbi.store.store import Store

__all__ = ["compare"]

NOTHING = {
    "log_prob": None,
    "log_prob_error": None,
    "behind": None,
    "behind_error": None,
    "best": False,
    "tied": False,
    "calibrated": None,
    "calibration_reasons": [],
    "draws_per_second": None,
}
HEADS = {
    "name": "flow",
    "hidden": "hidden",
    "transforms": "transf",
    "score": "log probability",
    "behind": "behind the best",
    "calibrated": "calibrated",
    "cpu": "CPU",
    "speed": "draws/s",
    "mark": "",
}
Columns = Mapping[str, np.ndarray]


@checked()
def compare(out: str, run: str, pairs: str, spectra: Count, draws: Count, seed: Natural) -> None:
    """Print a table of all flows of a run and write it as a page, as JSON and as CSV.

    The score is that of the test pairs, which no flow has seen: the log density of the true
    parameters in `Prior.coordinates`, not renormalised, so that mass outside the prior costs.

    Arguments:
        out: the HTML file; the other two lie beside it.
        run: folder of the run.
        pairs: the store of pairs.
        spectra, draws: the speed is measured by so many draws for each of so many spectra.
        seed: of those draws.

    Raises:
        FileNotFoundError: the run has no flow, or no pairs.
        ValueError: the store holds no test pairs.
    """
    source = open_complete(pairs, "augment")
    test, statuses = _test_pairs(source), trainings(Path(run))
    if not statuses:
        raise FileNotFoundError(
            f"{run} has no flow yet: run jobs/train.py, or a sweep of it such as "
            "jobs/train.py -m flow.hidden=25,50,100."
        )
    rows, scores = [_row(training) for training in statuses], {}
    speed = partial(_speed, test=test, spectra=spectra, draws=draws, seed=seed)
    for i, training in enumerate(statuses):
        if training.state == "trained":
            scores[i] = _score(rows[i], training, Path(run), source, test, speed)
    used = _rank(rows, {i: score for i, score in scores.items() if score is not None})
    rows.sort(key=lambda row: (row["log_prob"] is None, -(row["log_prob"] or 0), row["name"]))
    result = {"run": run, "spectra": used, "held_out": len(test["theta"]), "flows": rows}
    _write(Path(out), result)
    print("\n".join(_lines(result)))
    print(Path(out).resolve())


def _test_pairs(source: Store) -> dict[str, np.ndarray]:
    rows = split_of(source.settings, source.rows, "test")
    if rows.start == rows.stop:
        raise BadInput(
            f"{source.path} holds no test pairs: run jobs/augment.py with augment.test > 0."
        )
    names = ("theta", "flux", "ivar", "zred", "instrument")
    return {name: source.read(name, rows) for name in names if name in source.arrays}


def _row(training: TrainingStatus) -> dict:
    """What is known of a flow without looking into it."""
    settings = {"representation": None, "steps": None} | dict(training.settings)
    flow = {"network": None, "hidden": None, "transforms": None} | dict(settings.get("flow", {}))
    cpu = training.cpu_seconds
    return {
        "name": training.name,
        **{key: flow[key] for key in ("network", "hidden", "transforms")},
        **{key: settings[key] for key in ("representation", "steps")},
        "step": training.step,
        "state": training.state,
        "reason": training.reason,
        **NOTHING,
        "cpu_seconds": cpu,
        "core_hours": None if cpu is None else cpu / 3600,
        "job": training.job,
        "log": training.log,
        "notice": "",
    }


def _score(
    row: dict,
    training: TrainingStatus,
    run: Path,
    source: Store,
    test: Columns,
    speed: Callable[[Posterior], float | None],
) -> np.ndarray | None:
    """Log density of the truths, NaN where the spectrum is of no use; notes the rest in the row."""
    try:
        posterior = load_posterior(training.folder)
        refuse_other_model(posterior, source)
    except (Damaged, Mismatch, Incomplete) as error:
        row |= {"state": "failed", "reason": str(error)}
        return None
    row |= _calibration(run, training.name, posterior)
    row |= {"draws_per_second": speed(posterior), "notice": posterior.notice}
    score = np.full(len(test["theta"]), np.nan)
    good = posterior.usable(test["flux"], test["ivar"])
    names = [name for name in ("theta", "flux", "ivar", "instrument") if name in test]
    truth, *spectra = (test[name][good] for name in names)
    log_prob = posterior.log_prob(posterior.prior.coordinates(truth), *spectra)
    score[good] = np.where(np.isfinite(log_prob), log_prob, -np.inf)
    if (score == -np.inf).any():
        n = int((score == -np.inf).sum())
        row |= {"state": "failed", "reason": f"no finite density for {n} of the test spectra"}
        return None
    return score


def _calibration(run: Path, name: str, posterior: Posterior) -> dict:
    """The verdict on this flow, if one was made."""
    folder = RunFolder(run)
    for path in (folder.calibration_of(name), folder.calibration):
        verdict = verdict_of(path)
        if verdict.exists() and open_store(path).settings["flow"] == posterior.settings:
            # Of the flow alone, as weights mend what is published.
            judgement = read_object(verdict).get("flow") or {}
            return {
                "calibrated": judgement.get("passed"),
                "calibration_reasons": judgement.get("reasons", []),
            }
    return {}


def _speed(
    posterior: Posterior, test: Columns, spectra: int, draws: int, seed: int
) -> float | None:
    """Draws inside the prior per CPU second, of one thread."""
    good = np.flatnonzero(posterior.usable(test["flux"], test["ivar"]))[:spectra]
    if not len(good):
        return None
    seeds = np.array([object_seed(seed, f"speed {i}") for i in good])
    names = [name for name in ("flux", "ivar", "zred", "instrument") if name in test]
    batch = Batch(seeds=seeds, **{name: test[name][good] for name in names})
    posterior.sample(batch[:1], draws, bounded=False)  # what is made once is not counted
    start = time.process_time()
    kept = posterior.sample(batch, draws, bounded=False).kept.sum()
    return float(kept / (time.process_time() - start))


def _rank(rows: list[dict], scores: Mapping[int, np.ndarray]) -> int:
    """Note where each flow stands; the number of spectra that all flows can use."""
    if not scores:
        return 0
    log_prob = np.array(list(scores.values()))
    used = np.isfinite(log_prob).all(0)
    for i, standing in zip(scores, standings(log_prob[:, used]), strict=True):
        rows[i] |= {
            "log_prob": standing.score,
            "log_prob_error": standing.error,
            "behind": standing.behind,
            "behind_error": standing.behind_error,
            "best": standing.best,
            "tied": standing.tied,
        }
    return int(used.sum())


def _write(out: Path, result: dict) -> None:
    rows = result["flows"]
    write_atomically(out.with_suffix(".json"), json.dumps(result, indent=1).encode())
    text = io.StringIO()
    table = csv.DictWriter(
        text,
        [key for key in rows[0] if key != "calibration_reasons"],
        extrasaction="ignore",
        lineterminator="\n",
    )
    table.writeheader()
    table.writerows(rows)
    write_atomically(out.with_suffix(".csv"), text.getvalue().encode())
    ranked = [row for row in rows if row["log_prob"] is not None]
    content = {
        "title": f"hpcsbi: flows of {out.resolve().parent.name}",
        "version": __version__,
        "notices": sorted({row["notice"] for row in rows} - {""}),
        "confidence": f"{100 * CONFIDENCE:.0f} %",
        "result": result,
        "ranked": [cells(row) for row in ranked],
        "others": [row | {"does": _does(row)} for row in rows if row["log_prob"] is None],
        "image": _picture(ranked),
    }
    write_atomically(out, page.html("compare.html.j2", content))


def _picture(ranked: list[dict]) -> str | None:
    if len(ranked) < 2:
        return None
    behind, error = (np.array([row[key] for row in ranked]) for key in ("behind", "behind_error"))
    tied = np.array([row["tied"] for row in ranked])
    titles = [f"{row['hidden']} \N{MULTIPLICATION SIGN} {row['transforms']}" for row in ranked]
    return page.picture(diagnostic_plots.differences(titles, -behind, error, tied))


def _does(row: dict) -> str:
    """What a flow without a score does, in words."""
    step = f"step {row['step']} of {row['steps'] or '?'}"
    words = {
        "training": f"in training, {step}",
        "waiting": "waits" + (f" at {step}" if row["step"] else ""),
        "stopped": f"stopped at {step}",
        "unknown": f"not known whether a job is at it, {step}",
        "failed": "failed" + (f" after {step}" if row["step"] else ""),
    }
    return f"{words[row['state']]}: {row['reason']}" if row["reason"] else words[row["state"]]


def _lines(result: dict) -> Iterator[str]:
    """The table for a terminal."""
    rows = result["flows"]
    ranked = [cells(row) for row in rows if row["log_prob"] is not None]
    wide = max(len(row["name"]) for row in rows)
    yield f"{result['run']}: {len(rows)} flows, {len(ranked)} of them compared on " + (
        f"{result['spectra']} of {result['held_out']} held-out spectra"
    )
    line = "  {name:{wide}}  {hidden:>6} {transforms:>6}  {score:>16}  {behind:>16}  "
    line += "{calibrated:>10}  {cpu:>8}  {speed:>9}  {mark}"
    if ranked:
        yield line.format(**HEADS, wide=wide).rstrip()
    for row in ranked:
        yield line.format(**row, wide=wide).rstrip()
    for row in rows:
        if row["log_prob"] is None:
            yield f"  {row['name']:{wide}}  {_does(row)}"
    if len(ranked) > 1:
        yield (
            "  nat, with standard errors over the same spectra; tied: not told from the best "
            f"({100 * CONFIDENCE:.0f} %)"
        )
