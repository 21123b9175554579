"""Where the night sky shines in lines, in the observed frame: what is left of it stays together."""

import torch
from torch import Tensor

__all__ = ["SKY_GROUPS", "sky_shares"]

HALF = 10.0  # Angstrom on either side of a single line: what a fibre spreads it over
# Observed wavelengths in vacuum, Angstrom, of lines that brighten and fade together: those of
# oxygen and sodium, and the bands in which OH falls from one vibrational state to another.
SKY_GROUPS: dict[str, tuple[tuple[float, float], ...]] = {
    "oi_5579": ((5578.9 - HALF, 5578.9 + HALF),),
    "na_d": ((5891.6 - HALF, 5897.6 + HALF),),
    "oi_6302": ((6302.0 - HALF, 6302.0 + HALF), (6365.5 - HALF, 6365.5 + HALF)),
    "oh_7_2": ((6830.0, 6985.0),),
    "oh_8_3": ((7235.0, 7455.0),),
    "oh_9_4": ((7705.0, 7905.0),),
    "oh_5_1": ((7905.0, 8115.0),),
    "oh_6_2": ((8275.0, 8560.0),),
    "o2_0_1": ((8610.0, 8710.0),),
    "oh_7_3": ((8750.0, 9085.0),),
    "oh_8_4": ((9300.0, 9650.0),),
    "oh_3_0": ((9690.0, 9900.0),),
    "oh_9_5": ((9900.0, 10190.0),),
    "oh_4_1": ((10190.0, 10570.0),),
}


def sky_shares(wave: Tensor, zred: Tensor) -> Tensor:
    """Share of each pixel that a group of sky lines reaches, 0 to 1, (n, groups, pixels).

    Arguments:
        wave: pixel centres, ascending, Angstrom, rest frame, shape (pixels,).
        zred: redshifts, shape (n,).

    References:
        Osterbrock et al. 1996, PASP 108, 277: the bands. Davies 2007, MNRAS 375, 1099: lines of one
        vibrational state vary together, others apart.
    """
    middles = (wave[1:] + wave[:-1]) / 2
    ends = torch.stack([2 * wave[0] - middles[0], 2 * wave[-1] - middles[-1]])
    edges = torch.cat([ends[:1], middles, ends[1:]]) * (1 + zred[:, None].to(wave))
    low, high = edges[:, :-1], edges[:, 1:]
    reached = [
        sum((high.clamp_max(last) - low.clamp_min(first)).clamp_min(0) for first, last in intervals)
        for intervals in SKY_GROUPS.values()
    ]
    return torch.stack(reached, 1) / (high - low)[:, None]
