"""Classes of a catalogue's objects that a wrong model may be wrong about in different ways."""

import re
from dataclasses import dataclass

import numpy as np

from hpcsbi.errors import BadInput
from hpcsbi.inference.columns.observed_lines import EMISSION
from hpcsbi.store.store import Store

__all__ = ["KINDS", "ObjectClass", "object_classes"]

KINDS = ("lines", "age", "survey_class")
NEEDED = {
    "lines": ("observed_ew", "blend"),
    "age": ("derived_quantiles", "quantity", "level"),
    "survey_class": ("survey_class",),
}
BLENDS = ("halpha_nii", "oii_3726_3729")  # the first that the spectrum reaches


@dataclass(frozen=True)
class ObjectClass:
    """Some objects.

    Arguments:
        name: of the class, in a file's name, too.
        meaning: in words.
        members: True for its objects, shape (objects,).
    """

    name: str
    meaning: str
    members: np.ndarray


def object_classes(catalogue: Store, rows: np.ndarray, kinds: list[str]) -> list[ObjectClass]:
    """Classes by each of some of KINDS; objects of which a kind says nothing are in none of it.

    Lines are those that the data show, not the model's; ages are the posterior's medians.

    Arguments:
        catalogue: of `infer`.
        rows: of the objects, shape (objects,).
        kinds: how to tell them apart.

    Raises:
        BadInput: the catalogue lacks what a kind takes.

    References:
        Cid Fernandes et al. 2011, MNRAS 413, 1687 (3 Angstrom of H alpha).
    """
    for kind in kinds:
        if lacking := [name for name in NEEDED[kind] if name not in catalogue.arrays]:
            raise BadInput(
                f"learn.classes has {kind}, which takes {lacking[0]}, and {catalogue.path} has "
                "none: run jobs/infer.py again with a table (into another infer.out), or leave "
                f"{kind} out of learn.classes."
            )
    makers = {"lines": _by_lines, "age": _by_age, "survey_class": _by_survey_class}
    return [each for kind in kinds for each in makers[kind](catalogue, rows)]


def _by_lines(catalogue: Store, rows: np.ndarray) -> list[ObjectClass]:
    names = [str(name) for name in catalogue.read("blend")]
    widths = catalogue.read("observed_ew")[rows]
    first, other = (widths[:, names.index(name)] for name in BLENDS)
    width = np.where(np.isfinite(first), first, other)
    words = f"{EMISSION:g} Angstrom of H alpha + [N II], or [O II] where it has none of these"
    return [
        ObjectClass("with_lines", f"above {words}", width > EMISSION),
        ObjectClass("without_lines", f"at most {words}", width <= EMISSION),
    ]


def _by_age(catalogue: Store, rows: np.ndarray) -> list[ObjectClass]:
    quantity = [str(name) for name in catalogue.read("quantity")].index("mass_weighted_age")
    level = int(np.abs(catalogue.read("level") - 0.5).argmin())
    ages = catalogue.read("derived_quantiles")[rows, level, quantity]
    middle = np.nanmedian(ages) if np.isfinite(ages).any() else np.nan
    words = f"than the median, a mass-weighted age of {middle:.2f} Gyr"
    return [
        ObjectClass("older", f"older {words}", ages > middle),
        ObjectClass("younger", f"not older {words}", ages <= middle),
    ]


def _by_survey_class(catalogue: Store, rows: np.ndarray) -> list[ObjectClass]:
    texts = [str(text) for text in catalogue.read("survey_class")[rows]]
    names = np.array([re.sub(r"\W+", "_", text) for text in texts])
    return [
        ObjectClass(
            f"class_{name}", f"survey_class is {texts[names.tolist().index(name)]}", names == name
        )
        for name in np.unique(names)
        if name
    ]
