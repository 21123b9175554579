"""Where a catalogue comes from: the settings of all that made it, in the order of the making."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hpcsbi import __version__
from hpcsbi.flags import MEANINGS

__all__ = ["cards", "digest", "headers", "provenance"]

LONG = 12  # items of a list, or files, from which on a header has their digest alone


def provenance(settings: Mapping[str, Any], made_of: str, machines: list[dict]) -> dict[str, Any]:
    """What made a catalogue, by its part in it.

    Arguments:
        settings: of catalogue.zarr.
        made_of: digests of the stores whose numbers are in it, as the header of its Parquet file.
        machines: types of the machines that worked on it.
    """
    flow = settings["flow"]
    pairs, spectra = flow["training"], settings["spectra"]
    simulations = pairs["simulations"]
    code = {
        "simulate": simulations["code"], "augment": pairs["code"], "train": flow["code"],
        "ingest": spectra["code"], "infer": settings["code"],
    }  # fmt: skip
    return {
        "software": f"hpcsbi {__version__}",
        "code": code,
        "table": flow.get("table", simulations.get("table")),
        "physics": simulations["physics"],
        "grid": simulations["grid"],
        "prior": simulations["prior"],
        "error_model": pairs["noise"],
        "flow": _without(flow, "code", "training", "table"),
        "input": _without(spectra, "code", "grid"),
        "inference": _without(settings, "code", "flow", "spectra"),
        "catalogue": json.loads(made_of),
        "machines": machines,
    }


def _without(settings: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}


def headers(notice: str, legend: str, origin: Mapping[str, Any]) -> dict[str, str]:
    """What the header of a Parquet file says, text by name.

    Arguments:
        notice: where a catalogue is not for science; "" where it is.
        legend: of the flags.
        origin: see `provenance`.
    """
    return {"notice": notice, "flags": legend, "provenance": _text(_brief(origin))}


def cards(notice: str, origin: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The same as cards of a FITS header: keyword -> text and comment; FLAGn for bit n."""
    flags = {
        f"FLAG{flag.bit_length() - 1}": (f"{flag.name}: {text}", "")
        for flag, text in sorted(MEANINGS.items())
    }
    keywords = {
        "SOFTWARE": ("software", "what wrote this file"),
        "CODE": ("code", "digests of the code by stage"),
        "SSPTABLE": ("table", "stellar populations"),
        "PHYSICS": ("physics", "of the model"),
        "WAVEGRID": ("grid", "of the model"),
        "PRIOR": ("prior", "of theta"),
        "ERRMODEL": ("error_model", "noise and error of the model"),
        "FLOW": ("flow", "network and training"),
        "INPUT": ("input", "survey and files of the spectra"),
        "INFER": ("inference", "draws, certificate, seed"),
        "CATALOG": ("catalogue", "digests of the stores"),
    }
    told = {"NOTICE": (notice, "")} if notice else {}
    for keyword, (name, comment) in keywords.items():
        value = _brief(origin[name])
        told[keyword] = (value if isinstance(value, str) else _text(value), comment)
    return told | flags


def _brief(value: Any) -> Any:
    """The same with what is long told by its number and digest."""
    if isinstance(value, Mapping):
        if len(value) > LONG and all(isinstance(each, Mapping) for each in value.values()):
            return f"{len(value)} items, blake2b {digest(value)}"
        return {key: _brief(each) for key, each in value.items()}
    if isinstance(value, list) and len(value) > LONG:
        return f"{len(value)} items, blake2b {digest(value)}"
    return [_brief(each) for each in value] if isinstance(value, list) else value


def digest(value: Any) -> str:
    """A short name of what JSON can say."""
    return hashlib.blake2b(_text(value).encode(), digest_size=16).hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value)
