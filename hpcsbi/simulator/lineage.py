"""What the settings of a store tell of the model that it comes from."""

from collections.abc import Mapping

from hpcsbi.simulator.prior import Prior

__all__ = ["prior_among"]


def prior_among(settings: Mapping) -> Prior | None:
    """The prior among a store's settings or, before those further up, the ones upstream."""
    level = [settings]
    while level:
        for one in level:
            if "columns" in (one.get("prior") or {}):
                return Prior(**one["prior"])
        level = [inner for one in level for inner in one.values() if isinstance(inner, Mapping)]
    return None
