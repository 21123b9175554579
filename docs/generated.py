"""Writes the tables of the documentation that are made of the code: `python docs/generated.py`.

A page has each between the comments `<!-- made by the code: survey sdss -->` (the table `survey` of
"sdss") and `<!-- end -->`. They stand in the repository, for a page is read there too, and
tests/test_docs.py compares them with what the code makes.
"""

import re
from collections.abc import Iterable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from mask_bits import MASK_BITS

import hpcsbi
from hpcsbi.cluster.site import Site
from hpcsbi.flags import MEANINGS
from hpcsbi.grid import Grid
from hpcsbi.inference.columns.catalogue_columns import ARRAYS
from hpcsbi.inference.columns.catalogue_descriptions import DescribedColumn, described_columns
from hpcsbi.inference.network import networks as network_module
from hpcsbi.inference.summary import representations as representation_module
from hpcsbi.library import Prior, load_table
from hpcsbi.simulator.galaxy import attenuations, dust, histories
from hpcsbi.simulator.galaxy.indices import BLENDS
from hpcsbi.simulator.observation import noise
from hpcsbi.simulator.observation.templates import line_groups
from hpcsbi.simulator.table.derived import QUANTITIES
from hpcsbi.simulator.theta import distributions as distribution_module
from hpcsbi.simulator.theta.distributions import KINDS
from hpcsbi.simulator.theta.parameters import PARAMETERS
from hpcsbi.survey.readers import registry
from hpcsbi.survey.readers.formats import Survey
from hpcsbi.survey.readers.registry import FORMATS

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "hpcsbi" / "data" / "ssp_demo.zarr"
DRAWS, ZRED = 4000, 0.1
BLOCK = re.compile(
    r"^<!-- made by the code: (\w+)((?: \w+)*) -->\n(.*?)^<!-- end -->$", flags=re.M | re.S
)
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])")
TOLERANCE = {"induced": 0.12}  # of two digits of draws: the last one may differ between processors
SHOWN = ("mass_weighted_age", "t50", "ssfr_100myr", "av", "dn4000")

FAMILIES = (
    ("distribution of the prior", distribution_module, "KINDS"),
    ("star formation history", histories, "HISTORIES"),
    ("dust", attenuations, "ATTENUATIONS"),
    ("curve of dust, by FSPS's dust_type", dust, "CURVES"),
    ("noise", noise, "NOISES"),
    ("representation", representation_module, "REPRESENTATIONS"),
    ("network", network_module, "NETWORKS"),
    ("survey", registry, "FORMATS"),
)


def main() -> None:
    """Write what differs, and say which pages did."""
    for path in sorted(Path(__file__).parent.rglob("*.md")):
        text = path.read_text()
        if (new := with_tables(text)) != text:
            path.write_text(new)
            print(f"{path.relative_to(ROOT)}: written")


def with_tables(markdown: str) -> str:
    """The page with its tables as the code makes them now; one that agrees stays as it is."""

    def block(match: re.Match) -> str:
        name, words, text = match.groups()
        made = f"\n{TABLES[name](*words.split()).rstrip()}\n\n"
        made = text if agrees(text, made, TOLERANCE.get(name, 0.0)) else made
        return f"<!-- made by the code: {name}{words} -->\n{made}<!-- end -->"

    return BLOCK.sub(block, markdown)


def agrees(there: str, made: str, tolerance: float) -> bool:
    """Whether two texts differ in their numbers alone, and in these by such a share at most."""
    if there == made or not tolerance:
        return there == made
    pairs = [np.array(NUMBER.findall(text), float) for text in (there, made)]
    same_words = NUMBER.sub("", there) == NUMBER.sub("", made)
    return same_words and np.allclose(*pairs, rtol=tolerance, atol=0.0)


def flags() -> str:
    """Every flag with its bit, the bit's value and meaning."""
    rows = (
        (flag.bit_length() - 1, int(flag), f"`{flag.name}`", text)
        for flag, text in MEANINGS.items()
    )
    return table(("bit", "value", "name", "meaning"), sorted(rows))


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
            ucd = column.ucd.replace("stat.percentile", "stat.*")
            facts = (f"`{column.family}`", column.kind, column.unit, f"`{ucd}`", column.of_family)
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


def survey(name: str) -> str:
    """How the files of a survey are known, and its file of conf/survey."""
    known = f"A file of `survey={name}` is known by {FORMATS[name].contents}"
    if beside := FORMATS[name].beside:
        known += f"; that of its redshifts by {beside.contents}"
    path = ROOT / "conf" / "survey" / f"{name}.yaml"
    return f"{known}.\n\n```yaml\n{path.read_text()}```\n"


def mask(name: str) -> str:
    """The bits of a survey's pixel mask, and which of them make a pixel bad (none: any does)."""
    node = yaml.safe_load((ROOT / "conf" / "survey" / f"{name}.yaml").read_text())
    bad = node["bad_bits"] or MASK_BITS[name]
    rows = (
        (bit, 1 << bit, f"`{word}`", text, "yes" if bit in bad else "no")
        for bit, (word, text) in MASK_BITS[name].items()
    )
    return table(("bit", "value", "name", "set where", "masked here"), rows)


def options() -> str:
    """What every survey may be told, as its class has it."""
    rows = ((f"`survey.{key}`", words) for key, words in arguments_of(Survey).items())
    return table(("option", "what it is"), [row for row in rows if row[0] != "`survey.name`"])


def site() -> str:
    """What a site may say, as its class has it."""
    rows = ((f"`{key}`", words) for key, words in arguments_of(Site).items())
    return table(("key", "what it is"), rows)


def distributions() -> str:
    """What a column of the prior may be drawn from, with the numbers that it takes."""
    rows = (
        (f"`{kind}`", ", ".join(signature(make).parameters), summary(make))
        for kind, make in KINDS.items()
    )
    return table(("kind", "numbers", "what it is"), rows)


def families() -> str:
    """What may have a new member, where its table stands, and who is in it."""
    rows = []
    for what, holder, name in FAMILIES:
        members = ", ".join(f"`{each}`" for each in getattr(holder, name))
        rows.append((what, f"`{name}` in `{holder.__name__.replace('.', '/')}.py`", members))
    return table(("what", "its table", "members"), rows)


def library() -> str:
    """What `import hpcsbi` offers, by the first words of each docstring."""
    rows = ((f"`{name}`", summary(getattr(hpcsbi, name))) for name in hpcsbi.__all__)
    return table(("name", "what it is"), rows)


def summary(documented: Any) -> str:
    """First paragraph of a docstring, on one line."""
    return " ".join((documented.__doc__ or "").split("\n\n")[0].split())


def arguments_of(documented: type) -> dict[str, str]:
    """What a docstring says of each argument, on one line."""
    text = re.search(r"Arguments:\n(.*?)(?:\n\n|\Z)", documented.__doc__, flags=re.S)[1]
    pairs = re.findall(r"^ {8}([\w, ]+): (.*?)(?=^ {8}\w|\Z)", text, flags=re.M | re.S)
    return {name: " ".join(words.split()).rstrip(".") for name, words in pairs}


def readme(word: str) -> str:
    """The table of the README whose first column is called so."""
    text = (ROOT / "README.md").read_text()
    return re.search(rf"^\| {word} \|.*?(?=\n\n)", text, flags=re.M | re.S)[0]


def prior_of(name: str) -> Prior:
    """One that ships, by the name of its file."""
    node = yaml.safe_load((ROOT / "conf" / "prior" / f"{name}.yaml").read_text())
    return Prior(node["columns"], node.get("bound_age", False))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([str(value).replace("|", "\\|") for value in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


TABLES = {
    "flags": flags, "columns": columns, "parameters": parameters, "induced": induced,
    "packages": packages, "survey": survey, "options": options, "site": site,
    "distributions": distributions, "families": families, "readme": readme,
    "library": library, "mask": mask,
}  # fmt: skip

if __name__ == "__main__":
    main()
