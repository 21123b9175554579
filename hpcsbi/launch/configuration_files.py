"""What is wrong with a file of a configuration, in a line that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpcsbi.arguments import literal
from hpcsbi.cluster.site import Site
from hpcsbi.errors import BadInput

__all__ = ["blames_the_file", "one_line", "refuse_bare_site"]

CANNOT_BE_READ = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, OSError)


@contextmanager
def blames_the_file(folder: str) -> Iterator[None]:
    """Name the file of a configuration that is none, as what Hydra says of it does not.

    Raises:
        BadInput: in place of errors of Hydra and others, where a file below the folder is none.
    """
    try:
        yield
    except CANNOT_BE_READ:
        for file in sorted(Path(folder).rglob("*.yaml")):
            if words := _wrong_in(file):
                raise BadInput(f"{file} cannot be read: {words}.") from None
        raise


def _wrong_in(file: Path) -> str:
    """Why a file holds no keys and values, "" where it does."""
    try:
        content = OmegaConf.load(file)
    except OmegaConfBaseException as error:
        return one_line(error)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:  # of a number, too
        return " ".join(str(error).split())
    if not OmegaConf.is_dict(content):
        return "it holds a list, not keys and values"
    if not OmegaConf.is_list(content.get("defaults", OmegaConf.create([]))):
        return f"its defaults are {literal(content.defaults)}, not a list"
    return ""


def refuse_bare_site(file: Path) -> None:
    """Refuse a site that is none, or lacks keys, which jobs ask for later, and builds on no other.

    Raises:
        BadInput: names the file and the mend.
    """
    if words := _wrong_in(file):  # of a list Hydra says nothing
        raise BadInput(f"{file} cannot be read: {words}.")
    content = OmegaConf.load(file)
    missing = [item.name for item in fields(Site) if item.name not in content]
    if missing and "defaults" not in content:
        raise BadInput(
            f"{file} has no {missing[0]}: begin it with `defaults: [here]`, which gives what it "
            "does not say."
        )


def one_line(error: BaseException) -> str:
    """An error of Hydra or OmegaConf without what follows its first line; others as they are."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return str(error)
