"""Where a catalogue comes from is told in full in JSON, in short in headers."""

import json

from hpcsbi import __version__
from hpcsbi.flags import Flag
from hpcsbi.release.origin import cards, digest, headers, provenance

SETTINGS = {
    "code": "i",
    "flow": {
        "code": "t",
        "steps": 7,
        "table": {"versions": {"fsps": "0.4.8"}},
        "training": {
            "code": "a",
            "noise": {"kind": "survey", "learned": [*range(100)]},
            "simulations": {"code": "s", "prior": {"columns": {}}, "grid": {}, "physics": {}},
        },
    },
    "spectra": {
        "code": "g",
        "grid": {},
        "files": {f"{i}.fits": {"bytes": i} for i in range(20)},
    },
    "draws": 10,
}
FACTS = provenance(SETTINGS, '{"catalogue.zarr": "d"}', [])


def test_every_part_has_its_place():
    """Code by stage, and of each product what is its own."""
    assert FACTS["code"] == {
        "simulate": "s", "augment": "a", "train": "t", "ingest": "g", "infer": "i",
    }  # fmt: skip
    assert FACTS["software"] == f"hpcsbi {__version__}"
    assert FACTS["flow"] == {"steps": 7} and FACTS["inference"] == {"draws": 10}
    assert len(FACTS["input"]["files"]) == 20 and len(FACTS["error_model"]["learned"]) == 100
    assert json.loads(json.dumps(FACTS)) == FACTS


def test_headers_have_digests_of_what_is_long():
    """A survey of thousands of files does not make a header of megabytes."""
    told = json.loads(headers("n", "legend", FACTS)["provenance"])

    files = FACTS["input"]["files"]
    assert told["input"]["files"] == f"20 items, blake2b {digest(files)}"
    assert told["error_model"]["learned"].startswith("100 items")
    assert digest(files) != digest({**files, "0.fits": {"bytes": 9}})


def test_cards_are_of_fits():
    """Keywords of eight characters; each flag by its bit; a notice only where there is one."""
    told = cards("not for science", FACTS)

    assert all(len(word) <= 8 and word.isupper() for word in told)
    assert {f"FLAG{flag.bit_length() - 1}" for flag in Flag} <= {*told}
    assert told["FLAG5"][0].startswith("LOW_SN: ")
    assert "NOTICE" in told and "NOTICE" not in cards("", FACTS)
