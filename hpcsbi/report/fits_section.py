"""The page's section of fitted objects: chains beside the flow and its re-weighted draws."""

from collections.abc import Mapping, Sequence

import numpy as np

from hpcsbi.report import fits_accuracy, object_plots, page, tables
from hpcsbi.simulator.theta.prior import Prior
from hpcsbi.terminal import duration

__all__ = ["COLUMNS", "DRAWS", "NOTHING", "section"]

COLUMNS = (
    "id", "converged", "n_steps", "tau", "rhat", "wasserstein", "width_ratio", "c2st", "pareto_k",
)  # fmt: skip
OF_COLUMNS = ("tau", "rhat", "wasserstein", "width_ratio")  # in the order of theta
DRAWS = ("samples", "reweighted_samples", "flow_samples")
NOTHING = {"rows": 0, "notes": []}
TITLES = {"flow": "flow", "reweighted": "re-weighted", "halves": "halves of the chain"}
LISTED = 5  # ids named of those that have not converged
Columns = Mapping[str, np.ndarray]


def section(
    columns: Columns,
    draws: Sequence[Sequence[np.ndarray]],
    prior: Prior,
    settings: Mapping,
    rates: Sequence[Mapping],
    costs: Sequence[Mapping],
    flow: str,
) -> dict:
    """Everything that the page says of fitted objects.

    Arguments:
        columns: the arrays `COLUMNS` of fits.zarr and its coordinate `method`, of fitted objects.
        draws: for each object that is drawn, the arrays `DRAWS` without rows of NaN, own units,
            shape (n, n_theta).
        prior: with its columns in the order of theta.
        settings: of the store.
        rates, costs: notes of rates.jsonl and costs.jsonl.
        flow: folder of the flow as costs.jsonl names it.
    """
    columns = dict(columns)  # what is given tells nothing of chain or flow
    columns |= {name: columns[name][..., prior.inferred] for name in OF_COLUMNS}
    good = columns["converged"]
    methods = [str(name) for name in columns["method"]]
    once, each = fits_accuracy.overhead(costs, flow), fits_accuracy.object_costs(rates)
    content = {
        "notes": [],
        "rows": len(good),
        "converged": int(good.sum()),
        "unconverged": _first_ids(columns["id"][~good]),
        "remarks": _remarks(settings),
        "methods": [TITLES.get(name, name) for name in methods],
        "accuracy": None,
        "scatter": None,
        "costs": [(fits_accuracy.STEPS[step], *_cost(*each[step])) for step in each],
        "proposals": settings.get("proposals"),
        "break_even": fits_accuracy.verdict_on_costs(once, each),
        "objects": [
            _object(columns, methods, i, prior, object_draws)
            for i, object_draws in enumerate(draws)
        ],
    }
    if good.any():
        content["accuracy"] = fits_accuracy.accuracy_rows(
            prior.inferred_names,
            *(columns[name][good] for name in ("wasserstein", "width_ratio", "c2st")),
        )
        content |= _distances_by_k({name: columns[name][good] for name in COLUMNS}, methods)
    return content


def _first_ids(ids: np.ndarray) -> str:
    more = f" and {len(ids) - LISTED} more" if len(ids) > LISTED else ""
    return ", ".join(map(str, ids[:LISTED])) + more


def _remarks(settings: Mapping) -> list[str]:
    """What to know about how the chains were made."""
    remarks = []
    if settings.get("engine") == "prospector":
        remarks.append(
            "The chains have Prospector's likelihood with FSPS itself (fit.engine=prospector), the "
            "weights that of the table."
        )
    if settings.get("likelihood") == "given":
        remarks.append(
            "Chains and weights take the quoted sigma (fit.likelihood=given), not the noise that "
            "trained the flow: its own draws need not agree with them."
        )
    if settings.get("start") == "flow":
        remarks.append(
            "The chains moved in the flow's base space (fit.start=flow): a mode that the flow does "
            "not know can be missed by all. With fit.start=prior no chain sees the flow."
        )
    return remarks


def _cost(seconds: float, objects: int) -> tuple[str, int]:
    return f"{tables.number(seconds)} s" if seconds < 60 else duration(seconds), objects


def _distances_by_k(columns: Columns, methods: Sequence[str]) -> dict:
    """The figure of distances against Pareto k of objects that have both, and its text."""
    k = columns["pareto_k"][:, methods.index("flow")]
    farthest = columns["wasserstein"].max(-1)
    shown = ~np.isnan(k) & np.isfinite(farthest[:, methods.index("flow")])
    if not shown.any():
        return {"scatter": None}
    chosen = farthest[:, [methods.index(name) for name in TITLES]]
    figure = object_plots.distances_by_pareto_k(k[shown], chosen[shown], [*TITLES.values()])
    without, endless = int((~shown).sum()), int(np.isinf(k[shown]).sum())
    texts = [_agreement(chosen[shown]), _correlations(k[shown], chosen[shown])]
    texts += [f"Left out: {without} without k or draws."] if without else []
    texts += [f"{endless} of infinite k stand at the edge."] if endless else []
    return {"scatter": page.picture(figure), "told": " ".join(filter(None, texts))}


def _agreement(distances: np.ndarray) -> str:
    """How many objects flow and re-weighted draws have right, of distances (n, 3)."""
    (flow, of_flow), (weighted, of_weighted) = (
        fits_accuracy.agreement(distances[:, i], distances[:, 2]) for i in range(2)
    )
    return (
        f"No farther than the halves of the same chain plus {fits_accuracy.CLOSE} are the "
        f"re-weighted draws of {weighted} among {of_weighted} objects, the flow's of {flow} "
        f"among {of_flow}."
    )


def _correlations(k: np.ndarray, distances: np.ndarray) -> str:
    texts = []
    for i, whose in enumerate(("flow", "re-weighted draws")):
        rho, n = fits_accuracy.correlation(k, distances[:, i])
        if np.isfinite(rho):
            value = f"{rho:.2f}".replace("-", "\N{MINUS SIGN}")
            texts.append(f"{value} with the distance of the {whose} (n = {n})")
    return f"Spearman's rank correlation of k: {'; '.join(texts)}." if texts else ""


def _object(
    columns: Columns, methods: Sequence[str], i: int, prior: Prior, draws: Sequence[np.ndarray]
) -> dict:
    """Title, numbers and corner plot of one object."""
    number = tables.number
    c2st = ", ".join(
        f"{number(columns['c2st'][i, j])} ({TITLES.get(name, name)})"
        for j, name in enumerate(methods)
    )
    tau, rhat = columns["tau"][i].max(), columns["rhat"][i].max()
    k = columns["pareto_k"][i, methods.index("flow")]
    tail = number(k) if np.isnan(k) else f"{k:.2f}"
    numbers = (
        f"{columns['n_steps'][i]} steps, autocorrelation time {number(tau)} steps and R-hat "
        f"{rhat:.3f} of the worst parameter; Pareto k of the flow's draws {tail}; "
        f"C2ST {c2st}."
    )
    chain, weighted, flow = draws
    keys = ("chain", "re-weighted", "flow")
    return {
        "title": str(columns["id"][i]),
        "converged": bool(columns["converged"][i]),
        "numbers": numbers,
        "lacking": [key for key, samples in zip(keys, draws, strict=True) if not len(samples)],
        "corner": page.corner_picture(prior, chain, (prior, weighted), (prior, flow), keys=keys),
    }
