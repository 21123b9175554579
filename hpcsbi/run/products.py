"""Any product of a run by its path: the stage that made it, of what, by which settings, how far."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcsbi.errors import BadInput
from hpcsbi.pipeline import STAGES
from hpcsbi.run.folder import FlowFolder, RunFolder
from hpcsbi.run.merges import MADE_OF, is_behind, table_of
from hpcsbi.run.progress import flow_progress, store_progress
from hpcsbi.store.files import load_header, read_object, read_parquet_header
from hpcsbi.store.machine import machines_of
from hpcsbi.store.opening import open_store

__all__ = ["Origin", "Product", "product_of", "products_in"]

# Settings that only the products of a stage have; the first stage that fits.
OF_STAGE = {
    "tabulate": {"demonstration"},
    "simulate": {"source", "theta"},
    "augment": {"simulations", "copies"},
    "calibrate": {"flow", "pairs"},
    "learn": {"flow", "catalogue"},
    "fit": {"flow", "spectra", "walkers"},
    "infer": {"flow", "spectra"},
    "ingest": {"survey", "files"},
    "train": {"training", "representation"},
}
VERDICTS = {
    "calibrate": {"passed", "parameters", "n"},
    "learn": {"ranks", "gain", "objects", "asked_for"},
    "compare": {"flows", "held_out"},
}
OF_RELEASE = {"software", "code", "release", "machines"}
RELEASED = "provenance.json"
MADE_BY = re.compile(r"Made by hpcsbi ([\w.+]+)")
PAGES = {"flows of": "compare", "beside": "crossmatch"}  # in titles
TITLE = re.compile(r"<title>hpcsbi: (.*?)</title>")
HEAD = 200_000  # bytes of a page in which its version stands


@dataclass(frozen=True)
class Origin:
    """A stage's part in a product.

    Arguments:
        stage: its name.
        code: digest of its code, "" where none is noted.
        options: its own settings, by name.
    """

    stage: str
    code: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Product:
    """What lies at a path.

    Arguments:
        path: of it.
        stage: that made it, "" for a run.
        state: how much of it is there, in words.
        whole: whether that is all.
        origins: stages that it comes from, in order; the last is its own.
        settings: of the store or flow, upstream ones included.
        notice: what it is not good for, "" where there is nothing to say.
        machines: types of the machines that worked on it.
        software: what wrote it, where that is noted.
        columns: of a table by rows, names alone.
    """

    path: Path
    stage: str
    state: str
    whole: bool = True
    origins: tuple[Origin, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    notice: str = ""
    machines: tuple[Mapping[str, Any], ...] = ()
    software: str = ""
    columns: tuple[str, ...] = ()


def product_of(path: str | Path) -> Product:
    """Look at a path; nothing is computed, and no rows are read.

    Arguments:
        path: of a store, a flow or its weights, a Parquet or JSON file, a page, a release, a run.

    Raises:
        FileNotFoundError: nothing is there.
        BadInput: what is there is none of ours, or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: name a product of a run, or its folder.")
    if path.is_dir():
        return _folder(path)
    kinds = {".parquet": _table, ".json": _verdict, ".html": _page, ".safetensors": _weights}
    if path.suffix == ".fits":
        raise BadInput(f"{path}: FITS files say in their headers what they are; name their folder.")
    if path.suffix not in kinds:
        raise _none_of_ours(path)
    return kinds[path.suffix](path)


def products_in(run: Path) -> list[Path]:
    """Products that lie in a run's folder, in the order in which stages make them."""
    paths = []
    for stage in (stage for stage in STAGES.values() if stage.product):
        for path in sorted(run.glob(stage.product)):
            beside = path.with_suffix(stage.beside or path.suffix)
            paths += dict.fromkeys(each for each in (path, beside) if each.exists())
    return paths


def origins_of(stage: str, settings: Mapping[str, Any]) -> tuple[Origin, ...]:
    """Stages behind settings, each once, in the order in which they run."""
    known: dict[str, Origin] = {}
    for origin in _origins(stage, settings):
        known.setdefault(origin.stage, origin)
    return tuple(known[name] for name in STAGES if name in known)


def _origins(stage: str, settings: Mapping[str, Any]) -> Iterator[Origin]:
    makers = dict(STAGES[stage].reads)
    upstream = {
        key: settings[key]
        for key in makers
        if isinstance(settings.get(key), Mapping) and _stage_of(settings[key]) == makers[key]
    }
    options = {key: each for key, each in settings.items() if key not in (*upstream, "code")}
    yield Origin(stage, settings.get("code", ""), options)
    for key, each in upstream.items():
        yield from _origins(makers[key], each)


def _stage_of(settings: Mapping[str, Any]) -> str:
    """The stage whose settings these are, "" for none."""
    return next((stage for stage, keys in OF_STAGE.items() if keys <= settings.keys()), "")


def _none_of_ours(path: Path) -> BadInput:
    return BadInput(
        f"{path} is nothing that hpcsbi made: name a store (.zarr), a flow, a catalogue, a page, a "
        "release, or the folder of a run."
    )


def _folder(path: Path) -> Product:
    if (path / "zarr.json").exists() or path.suffix == ".zarr":
        return _store(path)
    if (path / RELEASED).exists():
        return _release(path)
    flow = FlowFolder(path)
    if flow.weights.exists() or flow.checkpoint.exists():
        return _flow(path)
    if products_in(path) or RunFolder(path).costs.exists():
        return _run(path)
    raise _none_of_ours(path)


def _store(path: Path) -> Product:
    store, progress = open_store(path, check=False), store_progress(path)
    stage = _stage_of(store.settings)
    if not stage or "error" in progress:
        raise BadInput(progress["error"]) if "error" in progress else _none_of_ours(path)
    state = f"{progress['done']} of {progress['shards']} shards, {progress['rows_done']} rows"
    for kind in ("failed", "running"):
        state += f", {progress[kind]} {kind}" if progress[kind] else ""
    if bad := progress["coordinates"]:
        state += f", array {', '.join(bad)} damaged"
    return Product(
        path, stage, state, progress["done"] == progress["shards"] and not bad,
        origins_of(stage, store.settings), dict(store.settings),
        store.attributes.get("notice", ""), tuple(machines_of(path)), "", store.sharded,
    )  # fmt: skip


def _weights(path: Path) -> Product:
    if load_header(path) is None:
        raise _none_of_ours(path)
    return _flow(path.parent)


def _flow(path: Path) -> Product:
    flow, progress = FlowFolder(path), flow_progress(path)
    header = load_header(flow.weights) or load_header(flow.checkpoint)
    if header is None or _stage_of(header.get("settings", {})) != "train":
        raise _none_of_ours(path)
    settings = header["settings"]
    state = f"step {progress['step']} of {progress['steps']}"
    if flow.table.exists():
        state += ", its table beside it"
    machines = (header["machine"],) if "machine" in header else ()
    return Product(
        path, "train", state, progress["trained"], origins_of("train", settings), settings,
        header.get("notice", ""), machines,
    )  # fmt: skip


def _table(path: Path) -> Product:
    """A catalogue's table, or one of a release."""
    import pyarrow.parquet

    header = read_parquet_header(path)
    if MADE_OF not in header and "provenance" not in header:
        raise _none_of_ours(path)
    metadata = pyarrow.parquet.read_metadata(path)
    columns, state = tuple(metadata.schema.names), f"{metadata.num_rows} rows"
    facts = _object(header.get(MADE_OF, header.get("provenance", "")))
    if facts is None:
        raise _none_of_ours(path)
    if MADE_OF not in header:
        return Product(
            path, "release", state, notice=header.get("notice", ""),
            software=facts.get("software", ""),
            columns=columns,
        )  # fmt: skip
    catalogue, more = path.with_suffix(".zarr"), {}
    behind = catalogue.is_dir() and table_of(catalogue) == path and is_behind(catalogue)
    if catalogue.is_dir():
        store = _store(catalogue)
        more = {key: getattr(store, key) for key in ("origins", "settings", "machines")}
    state += f", of {', '.join(facts)}" + (", which hold more by now" if behind else "")
    notice = header.get("notice", "")
    return Product(path, "infer", state, not behind, notice=notice, columns=columns, **more)


def _object(text: str) -> dict | None:
    """What JSON says, None where it is no object."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _verdict(path: Path) -> Product:
    content = read_object(path)
    stage = next((each for each, keys in VERDICTS.items() if keys <= content.keys()), "")
    if path.name == RELEASED and content.keys() >= OF_RELEASE:
        return _release(path.parent)
    if not stage:
        raise _none_of_ours(path)
    words = {
        "calibrate": lambda: _judgement(content),
        "learn": lambda: f"{content['objects']} objects taught, rank {content['asked_for']}",
        "compare": lambda: f"{len(content['flows'])} flows",
    }[stage]()
    return Product(path, stage, words, notice=content.get("notice", ""))


def _judgement(content: Mapping) -> str:
    head = "calibrated" if content["passed"] else "NOT calibrated"
    return "; ".join([f"{head}, {content['n']} spectra", *(content.get("reasons") or [])])


def _page(path: Path) -> Product:
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(HEAD)
    title, version = TITLE.search(text), MADE_BY.search(text)
    if not title or not version:
        raise _none_of_ours(path)
    stage = next((stage for words, stage in PAGES.items() if words in title[1]), "report")
    state = f"{title[1]}, {path.stat().st_size / 1e6:.1f} MB"
    return Product(path, stage, state, software=f"hpcsbi {version[1].rstrip('.')}")


def _release(path: Path) -> Product:
    facts, sums = read_object(path / RELEASED), path / "SHA256SUMS"
    if not facts.keys() >= OF_RELEASE:
        raise _none_of_ours(path)
    listed = sums.read_text().splitlines() if sums.exists() else []
    names = [line.split("  ", 1)[-1] for line in listed]
    lacking = [name for name in names if not (path / name).exists()]
    state = f"{len(names) - len(lacking)} of {len(names)} files that {sums.name} lists"
    told = facts["release"]
    options = {name: told[name] for name in ("formats", "draws", "referee") if name in told}
    origin = Origin("release", told["code"], options)
    made = [Origin(stage, code, {}) for stage, code in facts["code"].items()]
    return Product(
        path, "release", state, bool(names) and not lacking, (*made, origin),
        software=facts["software"], machines=tuple(facts["machines"]),
    )  # fmt: skip


def _run(path: Path) -> Product:
    products = products_in(path)
    return Product(path, "", f"a run with {len(products)} products")
