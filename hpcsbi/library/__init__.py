"""What a person uses in a script or a notebook: `import hpcsbi` offers these names alone."""

from hpcsbi.errors import BadInput
from hpcsbi.library.catalogue_table import flags_in_words, has_flag, load_catalogue
from hpcsbi.library.model_table import ModelTable, load_table
from hpcsbi.library.spectrum_posterior import SpectrumPosterior
from hpcsbi.library.trained_flow import TrainedFlow, load_flow
from hpcsbi.simulator.theta.prior import Prior

__all__ = [
    "BadInput",
    "ModelTable",
    "Prior",
    "SpectrumPosterior",
    "TrainedFlow",
    "flags_in_words",
    "has_flag",
    "load_catalogue",
    "load_flow",
    "load_table",
]
