"""README.md of a release."""

from test_origin import FACTS

from hpcsbi.flags import MEANINGS
from hpcsbi.inference.columns.catalogue_descriptions import described_columns
from hpcsbi.release.readme import readme

COLUMNS = described_columns(["id", "quantiles", "identity"], {"parameter": ["tage", "tau"]})


def test_everything_is_told():
    """Files that are there and no other, flags, families of columns, provenance."""
    text = readme(COLUMNS, {"spectra": 3}, ["catalogue.fits", "README.md"], "Only a try.", FACTS)

    assert "NOT FOR SCIENCE.** Only a try." in text and "3 spectra." in text
    assert "`catalogue.fits`" in text and "`catalogue.parquet`" not in text
    assert all(f"| `{flag.name}` |" in text for flag in MEANINGS)
    lines = [line for line in text.split("\n") if line.startswith("| `ta")]
    assert [line.split("|")[1].strip() for line in lines] == ["`tage_*`", "`tau_*`"]
    assert "| Gyr | time.age;stat.\\* | the posterior of tage: time since" in lines[0]
    assert "- software: hpcsbi" in text and max(map(len, text.split("\n"))) < 700


def test_a_catalogue_for_science_has_no_notice():
    """Where there is nothing to say."""
    assert "SCIENCE" not in readme(COLUMNS, {"spectra": 3}, [], "", FACTS)
