"""Tables of the documentation that are made of the code, where a page has {{ name }}."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from hpcsbi.flags import MEANINGS
from hpcsbi.grid import Grid
from hpcsbi.inference.catalogue_columns import ARRAYS
from hpcsbi.inference.catalogue_descriptions import DescribedColumn, described_columns
from hpcsbi.library import Prior, load_table
from hpcsbi.simulator.derived import QUANTITIES
from hpcsbi.simulator.indices import BLENDS
from hpcsbi.simulator.parameters import PARAMETERS
from hpcsbi.simulator.templates import line_groups

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "hpcsbi" / "data" / "ssp_demo.zarr"
DRAWS, ZRED = 4000, 0.1
SHOWN = ("mass_weighted_age", "t50", "ssfr_100myr", "av", "dn4000")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its tables; called by mkdocs."""
    tables = {
        "flags": flags, "columns": columns, "parameters": parameters, "induced": induced,
        "packages": packages,
    }  # fmt: skip
    return re.sub(r"^\{\{ (\w+) \}\}$", lambda match: tables[match[1]](), markdown, flags=re.M)


def flags() -> str:
    """Every flag with its bit and meaning."""
    rows = ((flag.bit_length() - 1, f"`{flag.name}`", text) for flag, text in MEANINGS.items())
    return table(("bit", "name", "meaning"), sorted(rows))


def catalogue_columns() -> list[DescribedColumn]:
    """Those of the survey prior with everything turned on."""
    names = prior_of("survey").names
    along = {
        "parameter": names,
        "quantity": [quantity.name for quantity in QUANTITIES],
        "blend": [*BLENDS],
        "line_group": [*line_groups(torch.tensor(Grid().wave))],
    }
    return described_columns([*ARRAYS], along)


def columns() -> str:
    """The data model, columns that differ in their level alone in one row."""
    rows, last = [], ""
    for column in catalogue_columns():
        if column.family != last:
            meaning = re.sub(r"^[\d.]+ % quantile of ", "", column.meaning)
            ucd = column.ucd.replace("stat.percentile", "stat.*")
            facts = (f"`{column.family}`", column.kind, column.unit, f"`{ucd}`", meaning)
            rows.append((*facts, column.gap))
        last = column.family
    return table(("column", "type", "unit", "UCD", "meaning", "no number"), rows)


def parameters() -> str:
    """What theta may have."""
    rows = ((f"`{p.name}`", p.unit, f"{p.low:g} to {p.high:g}") for p in PARAMETERS.values())
    return table(("parameter", "unit", "what the model can make"), rows)


def induced() -> str:
    """What two priors say of derived quantities before any spectrum."""
    rows = []
    for name in ("survey", "continuity"):
        prior = prior_of(name)
        theta = prior.sample(DRAWS, np.random.default_rng(0), ZRED)
        derived = load_table(DEMO, prior).derived(pd.DataFrame(theta, columns=[*prior.names]))
        for quantity in (each for each in QUANTITIES if each.name in SHOWN):
            levels = np.quantile(derived[quantity.name], [0.16, 0.5, 0.84])
            rows.append((f"`prior={name}`", quantity.header, *(f"{value:.2g}" for value in levels)))
    return table(("prior", "quantity", "16 %", "50 %", "84 %"), rows)


def packages() -> str:
    """Choices of every group of the configuration."""
    folders = sorted(path for path in (ROOT / "conf").iterdir() if path.is_dir())
    rows = [
        (f"`{path.name}=`", ", ".join(f"`{each.stem}`" for each in sorted(path.glob("*.yaml"))))
        for path in folders
    ]
    return table(("group", "choices"), rows)


def prior_of(name: str) -> Prior:
    """One that ships, by the name of its file."""
    node = yaml.safe_load((ROOT / "conf" / "prior" / f"{name}.yaml").read_text())
    return Prior(node["columns"], node.get("bound_age", False))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([str(value).replace("|", "\\|") for value in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
