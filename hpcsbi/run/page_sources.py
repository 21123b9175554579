"""What the page of a run was made of, and whether that is still what lies there.

The page notes the marks of what it read, and what was not there. So a page that was written while a
stage was at work is known to be old, whatever the clocks of the machines say.
"""

import hashlib
import html
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from hpcsbi.store.files import Damaged, load_header
from hpcsbi.store.layout import MARKS
from hpcsbi.store.opening import open_store

__all__ = ["MADE_OF", "why_old", "written_of"]

MADE_OF = "hpcsbi-made-of"  # name of the page's element that holds it
HEAD = 64 * 1024  # bytes at the beginning of a page, where it stands
NOTE = re.compile(rf'<meta name="{MADE_OF}" content="([^"]*)">')


def written_of(page: Path, sources: Iterable[Path]) -> str:
    """What a page notes of its sources: JSON, path from its folder -> digest, null for none.

    Arguments:
        page: the page's file.
        sources: stores, weights and other files; looked at before anything is read.
    """
    folder = page.absolute().parent
    digests = {os.path.relpath(path.absolute(), folder): _digest(path) for path in sources}
    return json.dumps(digests, sort_keys=True)


def why_old(page: Path) -> str:
    """ "is older than calibration.zarr" of a page; "" where it shows what lies there.

    Arguments:
        page: a file that is there.
    """
    with page.open("rb") as file:
        note = NOTE.search(file.read(HEAD).decode(errors="replace"))
    if note is None:
        return "does not say what it was made of"
    noted = json.loads(html.unescape(note[1]))
    folder = page.absolute().parent
    newer = [name for name, digest in noted.items() if _digest(folder / name) != digest]
    return f"is older than {', '.join(newer)}" if newer else ""


def _digest(path: Path) -> str | None:
    """Another one for other content: of a store from its marks, of weights from their header."""
    try:
        if (path / MARKS).is_dir():
            return open_store(path, check=False).digest()
        if path.suffix == ".safetensors":
            return (load_header(path) or {}).get("checksum")
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except (Damaged, OSError):  # whoever reads it says so
        return None
