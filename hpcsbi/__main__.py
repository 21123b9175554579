"""python -m hpcsbi: how it is run."""

from hpcsbi import __doc__, __version__

print(
    f"hpcsbi {__version__}. {__doc__}\n"
    "It is run from a clone of its repository: python jobs/pipeline.py, or python jobs/STAGE.py\n"
    "for one stage (--help says more); on SLURM slurm/pipeline.sh. README.md has examples."
)
