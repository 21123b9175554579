"""Say of any product what it is, what made it, whether it is whole, and what comes next."""

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from hpcsbi.arguments import literal
from hpcsbi.caches import keep_caches
from hpcsbi.launch.job import REFUSED, refuse
from hpcsbi.pipeline import STAGES
from hpcsbi.run.products import Origin, Product, product_of, products_in
from hpcsbi.run.referee_folder import REFEREE
from hpcsbi.store.provenance import code_of
from hpcsbi.terminal import outlive_reader, printable

__all__ = ["commands_after", "description", "main"]

WIDE = 10  # letters of a heading
MANY = 6  # items of a list that are shown
IN_WORDS = ("prior", "grid", "physics", "table")  # told as sentences, or by other stages
OF_MACHINE = ("architecture", "numba")
LIBRARIES = ("numpy", "torch", "zuko")
# Stage -> jobs that take its product.
NEXT = {
    "tabulate": ("simulate",),
    "simulate": ("augment",),
    "augment": ("train",),
    "train": ("calibrate", "infer"),
    "calibrate": ("report",),
    "ingest": ("infer",),
    "infer": ("report", "release", "fit", "crossmatch"),
    "fit": ("report",),
}
WITH = {"crossmatch": ("crossmatch.other=FILE",)}  # what such a job has to be told
BROWSER = ("report", "compare", "crossmatch")


def main() -> None:
    """Print what is known of the paths of the command line."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python jobs/inspect.py", description=__doc__)
    parser.add_argument("path", nargs="+", help="a store, flow, catalogue, page, release or run")
    paths = parser.parse_args().path
    keep_caches(None)
    status = 0
    for path in paths:
        try:
            for line in description(product_of(path)):
                print(line, flush=True)
        except REFUSED as error:
            status = refuse(error)
    sys.exit(status)


def description(product: Product) -> Iterator[str]:
    """Lines on a product, those that take no time first."""
    yield str(product.path)
    stage = STAGES.get(product.stage)
    if stage is None:
        yield from _run(product)
        return
    yield from _told("what", stage.makes)
    made = f"jobs/{stage.name}.py" + (f", {product.software}" if product.software else "")
    yield from _told("made by", made)
    yield from _told("state", f"{'' if product.whole else 'NOT whole: '}{product.state}")
    if product.notice:
        yield from _told("notice", product.notice)
    for i, origin in enumerate(sorted(product.origins, key=lambda each: each.stage != stage.name)):
        yield from _told("settings" if not i else "made of", _settings(origin))
    for machine in product.machines:
        yield from _told("machine", _machine(machine))
    for command in commands_after(product):
        yield from _told("next", command)
    for sentence in _model(product):
        yield from _told("model", sentence)
    yield from _columns(product)


def commands_after(product: Product) -> list[str]:
    """What can be done with a product, as commands where they are."""
    stage = STAGES[product.stage]
    if product.stage == "release":
        folder = product.path if product.path.is_dir() else product.path.parent
        commands = [
            f"cd {folder} && sha256sum --check --quiet SHA256SUMS",
            "TOPCAT, astropy, pandas",
        ]
        again = [f"python jobs/reproduce.py reproduce.release={folder}"]
        return commands + (again if (folder / REFEREE).is_dir() else [])
    if not product.whole:
        return [f"{_command(product, stage.name)}: the same command makes what is missing"]
    if product.stage in BROWSER:
        return ["open it in a browser"]
    if product.stage == "learn":
        learned = product.path.with_suffix(".zarr")
        return [f"python jobs/pipeline.py name=... noise.learned={learned}, with your options"]
    return [_command(product, job) for job in NEXT[product.stage]]


def _run(product: Product) -> Iterator[str]:
    """A run: its products in a line each."""
    for path in products_in(product.path):
        try:
            each = product_of(path)
            text = f"{'' if each.whole else 'NOT whole: '}{each.state}"
            notice = " (see its notice)" if each.notice else ""
        except REFUSED as error:
            text, notice = str(error), ""
        yield f"  {path.relative_to(product.path)}: {printable(text)}{notice}"
    yield from _told("next", f"python jobs/status.py run={product.path}")
    yield from _told("next", f"python jobs/report.py {' '.join(_options(product.path))}")


def _told(head: str, text: str) -> list[str]:
    """A heading and what stands behind it; wrapped on a terminal."""
    begin, text = f"  {head:{WIDE}} ", " ".join(printable(text).split())
    if not sys.stdout.isatty():
        return [begin + text]
    return textwrap.wrap(
        text, max(60, shutil.get_terminal_size().columns), initial_indent=begin,
        subsequent_indent=" " * len(begin), break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _settings(origin: Origin) -> str:
    """A stage, its own options as the command line has them, and whether its code is this one."""
    options = " ".join(word for key, each in origin.options.items() for word in _flat(key, each))
    if not origin.code:
        return f"{origin.stage:9} {options}"
    same = code_of(origin.stage) == origin.code
    version = "of this version" if same else "of another version of hpcsbi"
    return f"{origin.stage:9} {options}{' ' * bool(options)}(code {origin.code}, {version})"


def _flat(key: str, value: Any) -> Iterator[str]:
    """Settings as options; of files their names."""
    if isinstance(value, Mapping) and all(isinstance(each, Mapping) for each in value.values()):
        value = list(value)
    if key.rpartition(".")[2] in IN_WORDS:
        return
    if isinstance(value, Mapping) and len(value) <= 2 * MANY:
        for name, each in value.items():
            yield from _flat(f"{key}.{name}", each)
    elif isinstance(value, Mapping | list) and len(value) > MANY:
        yield f"{key}=({len(value)} items)"
    elif isinstance(value, list):
        yield f"{key}=[{','.join(map(str, value))}]"
    else:
        yield f"{key}={literal(value).strip(chr(39))}"


def _machine(facts: Mapping[str, Any]) -> str:
    libraries = facts.get("libraries", {})
    versions = [f"{name} {libraries[name]}" for name in LIBRARIES if name in libraries]
    return "; ".join([" ".join(str(facts.get(name)) for name in OF_MACHINE), *versions])


def _model(product: Product) -> list[str]:
    """What the spectra behind a product are made by, in sentences; takes torch."""
    settings = product.settings.get("catalogue", product.settings)
    if not {"prior", "simulations", "training", "flow"} & settings.keys():
        return []
    model = import_module("hpcsbi.simulator.model").Model.of(settings)
    survey = settings.get("spectra", {}).get("survey", {}).get("name")
    return import_module("hpcsbi.report.model_words").sentences(model, survey)


def _columns(product: Product) -> Iterator[str]:
    """Columns of a table with unit and meaning; those that differ in their level are one line."""
    if product.path.suffix != ".parquet":
        if product.columns:
            yield from _told("arrays", ", ".join(product.columns))
        if product.stage == "infer":
            yield from _told("columns", f"see {product.path.with_suffix('.parquet')}")
        return
    known = import_module("hpcsbi.inference.columns.catalogue_descriptions").descriptions_of(
        product.columns
    )
    kinds: dict[str, str] = {}
    for name in product.columns:
        about = known.get(name)
        unit = f"[{about.unit}] " if about and about.unit else ""
        kinds.setdefault(about.family if about else name, unit + (about.of_family if about else ""))
    yield from _told("columns", f"{len(product.columns)}, of {len(kinds)} kinds")
    wide = max(map(len, kinds), default=0)
    yield from (f"    {name:{wide}}  {words}".rstrip() for name, words in kinds.items())


def _command(product: Product, job: str) -> str:
    """A job for a product, which is named where it does not lie where the job looks for it."""
    stage, run = STAGES[product.stage], _run_of(product)
    words = [f"python jobs/{job}.py", *_options(run), *WITH.get(job, ())]
    key = next((each for each, maker in STAGES[job].reads.items() if maker == stage.name), "")
    store = product.path if stage.name == "train" else product.path.with_suffix(".zarr")
    at_home = fnmatch(os.path.relpath(store, run), stage.product)
    if key and (stage.name == "train" or not at_home):  # its name hangs on options
        words.append(f"{job}.{key}={store}")
    return " ".join(words)


def _run_of(product: Product) -> Path:
    """The folder of the run that a product lies in."""
    return product.path.parent.parent if product.stage == "train" else product.path.parent


def _options(run: Path) -> list[str]:
    """Options that a run was begun with, as Hydra has noted them, and its folder."""
    notes = sorted(run.glob("hydra/*/.hydra/overrides.yaml"), key=lambda path: path.stat().st_mtime)
    try:
        given = yaml.safe_load(notes[0].read_text()) if notes else []
    except (yaml.YAMLError, OSError):
        given = []
    kept = [word for word in given or [] if str(word).startswith(("experiment=", "name="))]
    named = {word.partition("=")[0]: word.partition("=")[2] for word in kept}
    name = named.get("name", named.get("experiment", "default"))
    if Path("runs") / name != Path(os.path.relpath(run)):
        kept = [word for word in kept if not word.startswith("name=")] + [f"run={run}"]
    return kept
