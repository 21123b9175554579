"""The head of the page in sentences: calibrated or not, against MCMC, and what came out."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi.flags import Flag
from hpcsbi.inference.columns.row_checks import P_VALUES
from hpcsbi.statistics.importance_weights import FEWEST, LARGEST_K, strong
from hpcsbi.statistics.verdict import BLUNT, IMPROBABLE

__all__ = ["calibration_sentence", "chains_sentence", "outcome_sentences", "rate_sentences"]


def calibration_sentence(verdict: Mapping | None) -> str:
    """Whether the posteriors are calibrated, of the verdict in calibration.json."""
    if not verdict:
        return "Not known: no calibration is here (jobs/calibrate.py makes it)."
    n, reasons = verdict.get("n", 0), verdict.get("reasons", [])
    flow = verdict.get("flow")
    share = (flow or verdict).get("predictive", {}).get("predictive_p", {}).get("improbable", 0.0)
    parts = [
        f"{'Yes' if verdict.get('passed') else 'NO'}, on {n} simulated spectra drawn from the "
        "prior, which says that intervals are right on average over it, not for every galaxy"
    ]
    if reasons:
        parts.append(f"what fails first: {reasons[0]}")
    if flow:
        parts.append(f"the flow alone {'passes too' if flow.get('passed') else 'fails'}")
    if share > BLUNT:
        parts.append(
            f"{100 * share:.0f} % of spectra are improbable under the flow's own posterior "
            f"(p below {IMPROBABLE}): train longer"
        )
    return "; ".join(parts) + "."


def chains_sentence(fits: Mapping, options: str) -> str:
    """How the posteriors compare with MCMC and at what cost, or which command tells it.

    Arguments:
        fits: the section of `fits_section.section`, or what stands in its place.
        options: that name run and flow on the command line.
    """
    if not fits.get("rows"):
        return (
            "Not compared in this run. Chains of emcee with the same likelihood, beside the flow: "
            f"python jobs/fit.py {options} fit.objects=20, then this page again."
        )
    accuracy = fits.get("accuracy")
    if accuracy is None:
        return "Chains were made, and none has converged."
    place = {name: i for i, name in enumerate(fits["methods"])}
    parts = [
        f"{fits['methods'][place[name]]} {accuracy['c2st'][place[name]][0]}"
        for name in ("flow", "re-weighted")
        if name in place
    ]
    return (
        f"{fits['converged']} converged chains of emcee: a classifier tells draws of the method "
        f"from the chain's with accuracy {', '.join(parts)} at the median (0.5: not at all). "
        f"{fits['break_even']}"
    )


def rate_sentences(notes: Sequence[Mapping]) -> list[str]:
    """What the posterior of an object cost, of the notes of rates.jsonl."""
    of_infer = [note for note in notes if note["stage"] == "infer"]
    rows = sum(note["rows"] for note in of_infer)
    if not rows:
        return []
    seconds = sum(note["worker_seconds"] for note in of_infer) / rows
    return [f"Inference, certificate included, took {seconds:.2g} s a core for each of {rows}."]


def outcome_sentences(columns: Mapping[str, np.ndarray]) -> list[str]:
    """What came out of a catalogue, of its columns by row.

    Arguments:
        columns: those of `run.overview.overview`: zred, flags, n_draws, ess, pareto_k, logmass,
            chi2, any of P_VALUES; NaN where there is none.
    """
    drawn = columns["n_draws"] > 0
    rows, inferred = len(drawn), int(drawn.sum())
    told = [f"{_objects(rows)}, {inferred} with a posterior."]
    if not inferred:
        return told
    zred, mass = columns["zred"][drawn], columns["logmass"][drawn]
    told.append(
        f"Redshifts from {zred.min():.4g} to {zred.max():.4g}; log of the mass formed, in solar "
        f"masses, from {np.nanmin(mass):.2f} to {np.nanmax(mass):.2f} with median "
        f"{np.nanmedian(mass):.2f}."
    )
    if "ess" in columns:
        good = drawn & strong(columns["ess"], columns["pareto_k"])
        told.append(
            f"{_share(good.sum(), inferred)} have good importance weights (effective sample of "
            f"{FEWEST} or more, Pareto k below {LARGEST_K}): their posteriors are exact for this "
            "model, whatever the flow did."
            + ("" if good.sum() == inferred else " Those of the others are the flow's, unchecked.")
        )
    misfit = sum(int(flag) for flag in P_VALUES.values())
    off = drawn & (columns["flags"].astype(np.int64) & misfit > 0)
    if off.any():
        told.append(
            f"The model does not fit {_share(off.sum(), inferred)} within their errors (flags "
            f"{', '.join(f.name for f in P_VALUES.values())}): their formal errors are too small "
            "for what the model gets wrong. Look at the residuals."
        )
    edge = drawn & (columns["flags"].astype(np.int64) & int(Flag.EDGE) > 0)
    if edge.any():
        told.append(
            f"{_share(edge.sum(), inferred)} pile up at an edge of the prior (EDGE): there the "
            "prior, not the spectrum, ends the interval."
        )
    return told


def _objects(n: int) -> str:
    return "1 object" if n == 1 else f"{n:,} objects".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _share(n: int, of: int) -> str:
    return f"{n} of {of}" if of < 100 else f"{n} of {of} ({100 * n / of:.1f} %)"
