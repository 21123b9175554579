"""Settings that made a product, compared with those asked for: what differs is refused."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpcsbi.errors import BadInput

__all__ = ["Mismatch", "Settings", "differences", "refuse_other_settings"]


class Settings(dict):
    """Settings of a product, which say whose they are where one is asked for that it has not."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise BadInput(
            f"{self.path}: its settings have no {key}, so another version of hpcsbi made it: "
            "remove it and run the stage that makes it again, or go on with that version."
        )


class Mismatch(BadInput):
    """A product was made with other settings than those asked for."""


def differences(existing: Any, asked: Any, key: str = "") -> Iterator[str]:
    """One line for every setting that differs, e.g. "prior.columns.tage.high: 4.0, asked 13.8".

    The order of names counts as well: that of the prior's columns is theirs in theta.
    """
    if isinstance(existing, dict) and isinstance(asked, dict):
        for name in sorted(set(existing) | set(asked)):
            here = f"{key}.{name}" if key else name
            yield from differences(existing.get(name, "absent"), asked.get(name, "absent"), here)
        ours, theirs = (
            [name for name in existing if name in asked],
            [n for n in asked if n in existing],
        )
        if ours != theirs:
            yield (
                f"{key or 'order'}: in the order {', '.join(ours)} in the store, "
                f"{', '.join(theirs)} asked"
            )
    elif existing != asked:
        yield f"{key}: {_short(existing)} in the store, {_short(asked)} asked"


def refuse_other_settings(path: str | Path, existing: Mapping, asked: Mapping, mend: str) -> None:
    """Raise with every setting that differs.

    Raises:
        Mismatch: something differs.
    """
    lines = list(differences(dict(existing), dict(asked)))
    if not lines:
        return
    code = [line for line in lines if line.split(":")[0].split(".")[-1] == "code"]
    told = (
        "\nThe code that decides its bytes is not the one that made it: go on with that version of "
        "hpcsbi (git log, git stash), or make it anew."
    )
    raise Mismatch(
        f"{path} was made with other settings:\n  "
        + "\n  ".join(lines)
        + (told if code else "")
        + f"\n{mend}"
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
