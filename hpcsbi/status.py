"""How far a run is: read from the marks of its stores, writing nothing."""

import json as json_format
import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from hpcsbi.store import MARKS, Damaged, Store, open_store
from hpcsbi.tables import duration

__all__ = ["status"]

STAGES = {
    "ssp": "tabulate",
    "simulations": "simulate",
    "training": "augment",
    "calibration": "calibrate",
    "spectra": "ingest",
    "catalogue": "infer",
}
PAUSE = 10  # a gap between shards this many times the usual one is a pause, not work


def status(run: str, json: bool = False) -> None:
    """Print what is done, failed and missing in a run, and how long the rest takes.

    Arguments:
        run: folder of the run.
        json: print JSON for a program in place of lines for a reader.

    Raises:
        FileNotFoundError: there is no such run.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} does not exist: start it with python jobs/tabulate.py name={folder.name}, "
            "or choose another with name=... or run=..."
        )
    found = {
        "run": str(folder),
        "stores": [_store(path, folder) for path in _stores(folder)],
        "flows": [_flow(path, folder) for path in _flows(folder)],
        "verdicts": [_verdict(path, folder) for path in _nested(folder, "calibration.json")],
    }
    print(json_format.dumps(found, indent=1) if json else "\n".join(_lines(found)))


def _nested(folder: Path, pattern: str) -> list[Path]:
    return sorted(chain(folder.glob(pattern), folder.glob(f"*/{pattern}")))


def _stores(folder: Path) -> list[Path]:
    """Stores of the run and of one beside it, in the order in which stages make them."""
    order = list(STAGES)
    paths = [path for path in _nested(folder, "*.zarr") if path.stem in STAGES]
    return sorted(paths, key=lambda path: (len(path.parts), path.parent, order.index(path.stem)))


def _flows(folder: Path) -> list[Path]:
    return [path for path in _nested(folder, "flows/*") if path.is_dir()]


def _store(path: Path, folder: Path) -> dict:
    entry = {"name": str(path.relative_to(folder)), "stage": STAGES[path.stem]}
    try:
        store = open_store(path)
    except Damaged as error:
        return entry | {"error": str(error)}
    done, failed = _marks(store, "done"), _marks(store, "failed")
    n, rate = len(store.shards), _rate(store, done)
    rows = sum(_length(store, shard) for shard in done)
    failed = {shard: when for shard, when in failed.items() if shard not in done}
    return entry | {
        "rows": store.rows,
        "rows_done": rows,
        "shards": n,
        "done": len(done),
        "failed": len(failed),
        "missing": n - len(done) - len(failed),
        "rows_per_second": rate,
        "seconds_left": (store.rows - rows) / rate if rate and len(done) < n else None,
        "failure": _failure(store, min(failed)) if failed else None,
    }


def _marks(store: Store, suffix: str) -> dict[int, float]:
    """Shards that have a mark, and when it was set (seconds)."""
    with os.scandir(store.path / MARKS) as entries:
        return {
            int(entry.name.split(".")[0]): entry.stat().st_mtime
            for entry in entries
            if entry.name.endswith(f".{suffix}") and entry.name.split(".")[0].isdigit()
        }


def _length(store: Store, shard: int) -> int:
    rows = store.rows_of(shard)
    return rows.stop - rows.start


def _rate(store: Store, done: dict[int, float]) -> float | None:
    """Rows a second while shards were being made; pauses between two starts do not count."""
    if len(done) < 2:
        return None
    ordered = sorted(done, key=done.get)
    gaps = np.diff([done[shard] for shard in ordered])
    rows = np.array([_length(store, shard) for shard in ordered[1:]])
    working = gaps <= max(PAUSE * np.median(gaps), 1.0)
    seconds = gaps[working].sum()
    return float(rows[working].sum() / seconds) if seconds > 0 else None


def _failure(store: Store, shard: int) -> dict:
    """A failed shard and the last line of its reason."""
    lines = store.failure(shard).strip().splitlines() or ["no reason was noted"]
    return {"shard": shard, "reason": _printable(lines[-1])}


def _printable(text: str) -> str:
    """Text without control characters: names from survey files reach the terminal here."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _flow(path: Path, folder: Path) -> dict:
    entry = {"name": str(path.relative_to(folder)), "trained": False, "step": 0, "steps": None}
    for name in ("flow.safetensors", "checkpoint.safetensors"):
        header = _header(path / name)
        if header is not None:
            steps = header.get("settings", {}).get("steps")
            trained = name.startswith("flow")
            step = steps if trained else header.get("step", 0)
            return entry | {"trained": trained, "step": step, "steps": steps}
    return entry


def _header(path: Path) -> dict | None:
    """Settings in the head of a safetensors file, without its weights; None if there is none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head = file.read(min(length, path.stat().st_size))
        return json_format.loads(json_format.loads(head)["__metadata__"]["settings"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _verdict(path: Path, folder: Path) -> dict:
    entry = {"name": str(path.relative_to(folder))}
    try:
        verdict = json_format.loads(path.read_text())
    except ValueError as error:
        return entry | {"error": f"cannot be read ({error})"}
    return entry | {key: verdict.get(key) for key in ("passed", "n", "reasons")}


def _lines(found: dict) -> Iterable[str]:
    """The same for a reader."""
    yield found["run"]
    named = [*found["stores"], *found["flows"], *found["verdicts"]]
    wide = max((len(entry["name"]) for entry in named), default=0)
    if not found["stores"]:
        yield "  nothing is there yet: start with python jobs/tabulate.py"
    for store in found["stores"]:
        yield f"  {store['name']:{wide}} {_progress(store)}"
        if store.get("failure"):
            failure = store["failure"]
            yield f"  {'':{wide}} shard {failure['shard']} failed: {failure['reason']}"
            yield f"  {'':{wide}} run jobs/{store['stage']}.py again: it makes only what is missing"
    for flow in found["flows"]:
        step = f"step {flow['step']} of {flow['steps'] or '?'}"
        yield f"  {flow['name']:{wide}} {'trained, ' if flow['trained'] else ''}{step}"
    for verdict in found["verdicts"]:
        yield f"  {verdict['name']:{wide}} {_judgement(verdict)}"


def _progress(store: dict) -> str:
    if "error" in store:
        return _printable(store["error"])
    text = f"{store['done']} of {store['shards']} shards"
    for state in ("failed", "missing"):
        text += f", {store[state]} {state}" if store[state] else ""
    text += f", {store['rows_done']} rows"
    if store["rows_per_second"]:
        rate = store["rows_per_second"]
        text += f", {rate:,.0f} rows/s" if rate >= 10 else f", {rate:.2g} rows/s"
    if store["seconds_left"] is not None:
        text += f", {duration(store['seconds_left'])} left"
    return text


def _judgement(verdict: dict) -> str:
    if "error" in verdict:
        return verdict["error"]
    text = "calibrated" if verdict["passed"] else "NOT calibrated"
    return "; ".join([f"{text}, {verdict['n']} spectra", *(verdict["reasons"] or [])])
