"""What a finished `learn` says: errors.json beside the store, ids of classes, and words."""

import json

import numpy as np

from hpcsbi.inference.learning.degeneracy import angles_to_theta
from hpcsbi.inference.learning.error_path import Survey
from hpcsbi.run.learned_errors import class_verdicts, error_of, verdict_on
from hpcsbi.statistics.held_out import Judgement
from hpcsbi.store.files import write_atomically
from hpcsbi.store.store import Store

__all__ = ["tell_error"]

DEGENERATE = 20.0  # degrees


def tell_error(store: Store, survey: Survey, notice: str) -> None:
    """Write errors.json, and the ids of classes that ask for an error of their own; print both.

    Arguments:
        store: whole.
        survey: objects and draws.
        notice: what the draws are not good for; "" where there is nothing to say.
    """
    verdict, ranks = verdict_on(store), store.read("rank")
    error = error_of(store, verdict)
    medians = survey.prior.theta(np.median(survey.coordinates[:50], axis=1))
    angles = []
    if error.templates:
        angles = angles_to_theta(error.curves, survey.ssp, survey.prior, medians).tolist()
    report = {
        "objects": len(survey.spectra),
        "judged": verdict.objects,
        "left_out": store.attributes["left_out"],
        "strengths": store.settings["strengths"],
        "ranks": ranks.tolist(),
        "gain_of_an_object": verdict.mean.tolist(),
        "its_error": verdict.error.tolist(),
        "asked_for": None if verdict.rank is None else int(ranks[verdict.rank]),
        "gain": verdict.gain,
        "gain_error": verdict.gain_error,
        "stable": verdict.gain <= 2 * verdict.gain_error,
        "mean_rms": float(np.sqrt(np.mean(np.square(error.mean)))),
        "template_rms": [float(np.sqrt(np.mean(np.square(row)))) for row in error.templates],
        "angles_to_theta": angles,
        "notice": notice,
    }
    if "classes" in store.settings:
        report["classes"] = class_verdicts(store)
        report["classes_too_small"] = store.attributes["too_small"]
    write_atomically(store.path.with_suffix(".json"), json.dumps(report, indent=1).encode())
    print(f"{store.path}: {len(survey.spectra)} objects teach, {verdict.objects} are judged.")
    for name, count in report["left_out"].items():
        print(f"  left out, {name}: {count}")
    _tell_gains(verdict, report)
    if "classes" in store.settings:
        _tell_classes(store, report)


def _tell_gains(verdict: Judgement, report: dict) -> None:
    print("held-out ln evidence of an object over the flow's own noise, by rank")
    rows = zip(report["strengths"], verdict.mean, verdict.error, strict=True)
    for strength, means, errors in rows:
        pairs = zip(report["ranks"], means, errors, strict=True)
        words = "  ".join(f"{rank}: {x:.2f} +- {dx:.2f}" for rank, x, dx in pairs)
        print(f"  prior {strength:g}  {words}")
    if report["asked_for"] is None:
        print("The spectra do not ask for an error beyond the one they were inferred with.")
        return
    print(
        f"asked for: {report['asked_for']} templates (rms {100 * report['mean_rms']:.2f} % mean; "
        + ", ".join(f"{100 * rms:.2f} %" for rms in report["template_rms"])
        + f"), {verdict.gain:.1f} +- {verdict.gain_error:.1f} nat in all"
    )
    for number, angle in enumerate(report["angles_to_theta"], 1):
        if angle < DEGENERATE:
            print(
                f"  template {number} is degenerate with theta: {angle:.0f} degrees from what "
                "theta does; the posterior keeps most of it."
            )
    if report["stable"]:
        print("Stable: the gain is within its error; there is no need to train again.")


def _tell_classes(store: Store, report: dict) -> None:
    print(
        "held-out ln evidence of an object of a class, by an error of its own over the common one"
    )
    ids = store.read("object")
    members = store.read("member").astype(bool) if report["classes"] else ()
    for (name, of_class), some in zip(report["classes"].items(), members, strict=True):
        print(
            f"  {name} ({of_class['objects']}, {of_class['meaning']}): {of_class['gain']:.2f} +- "
            f"{of_class['gain_error']:.2f}"
        )
        if of_class["asked_for"]:
            path = store.path.with_suffix(f".{name}.txt")
            write_atomically(path, "".join(f"{each}\n" for each in ids[some]).encode())
            print(f"    asks for its own: learn.ids={path}, and a flow with that for its objects")
    for name, count in report["classes_too_small"].items():
        print(f"  {name}: {count} objects are too few to be taught apart")
