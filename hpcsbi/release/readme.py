"""README.md of a release: what the files are, their columns, flags and provenance."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpcsbi.flags import MEANINGS
from hpcsbi.inference.columns.catalogue_descriptions import DescribedColumn

__all__ = ["FILES", "readme"]

FILES = {
    "catalogue.fits": "the catalogue, FITS binary table, for TOPCAT and astropy",
    "catalogue.parquet": "the catalogue, Parquet, for pandas, polars, Spark and astropy",
    "hats": "rows with a position, partitioned on the sky (HATS), for LSDB",
    "draws.fits": "draws of each posterior, joined by `key`",
    "draws.parquet": "draws of each posterior, joined by `key`",
    "referee": "some rows with their spectra and the flow, to be made again (its README.txt)",
    "provenance.json": "all settings that made the catalogue",
    "README.md": "this file",
    "SHA256SUMS": "digests of all files: `sha256sum -c SHA256SUMS`",
}


def readme(
    columns: Sequence[DescribedColumn],
    counts: Mapping[str, int],
    files: Iterable[str],
    notice: str,
    origin: Mapping[str, Any],
) -> str:
    """The text.

    Arguments:
        columns: of the catalogue.
        counts: rows, rows with a posterior, and the like, in words -> number.
        files: those that are there.
        notice: where a catalogue is not for science; "" where it is.
        origin: see `provenance`.
    """
    described = [f"| `{name}` | {FILES[name]} |" for name in FILES if name in files]
    parts = [
        "# Catalogue of posteriors of galaxy spectra",
        *([f"**NOT FOR SCIENCE.** {notice}"] if notice else []),
        "; ".join(f"{number} {words}" for words, number in counts.items()) + ".",
        "\n".join(["| file | holds |", "| --- | --- |", *described]),
        "Rows are spectra; `key` names each once, `id` names objects, which may have several. Text "
        "in FITS is ASCII: what is not is written as `\\xe9` and the like.",
        "## Flags\n\n" + "\n".join(_flags()),
        "## Columns\n\n`*` stands for p2_5, p16, p50, p84 and p97_5. A number that lacks is NaN, "
        "where the last column says what that means, and nowhere else.\n\n"
        + "\n".join(_columns(columns)),
        "## Provenance\n\n" + "\n".join(_provenance(origin)),
    ]
    return "\n\n".join(parts) + "\n"


def _flags() -> Iterable[str]:
    yield from ("| bit | value | name | meaning |", "| ---: | ---: | --- | --- |")
    for flag, text in sorted(MEANINGS.items()):
        yield f"| {flag.bit_length() - 1} | {int(flag)} | `{flag.name}` | {text} |"


def _columns(columns: Sequence[DescribedColumn]) -> Iterable[str]:
    yield from ("| column | type | unit | UCD | meaning | no number |", "|" + " --- |" * 6)
    families = {each.family: each for each in reversed(columns)}  # the first of each
    for family, each in reversed(families.items()):
        ucd = each.ucd.replace("stat.percentile", "stat.\\*")
        yield f"| `{family}` | {each.kind} | {each.unit} | {ucd} | {each.of_family} | {each.gap} |"


def _provenance(origin: Mapping[str, Any]) -> Iterable[str]:
    """Each part on a line; all of it is in provenance.json."""
    for name, value in origin.items():
        text = value if isinstance(value, str) else json.dumps(value)
        text = text if len(text) <= 600 else f"{text[:600]} ... (see provenance.json)"
        yield f"- {name}: {text}" if isinstance(value, str) else f"- {name}: `{text}`"
