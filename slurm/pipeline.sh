#!/usr/bin/env bash
# Submit a whole run to SLURM, print the numbers of its jobs, and return; no terminal is needed
# after that.
#
#   slurm/pipeline.sh NAME [--dry-run] [--stages=simulate,augment] [overrides]
#   slurm/pipeline.sh mine site=lab experiment=survey "ingest.files=[spectra/*.fits]"
#
# The Python is HPCSBI_PYTHON, or the first with Hydra: of the active environment, or of .venv here.
top=$(cd "$(dirname "$0")/.." && pwd)
has='import sys; from importlib.util import find_spec; sys.exit(find_spec("hydra") is None)'
for python in "${HPCSBI_PYTHON:-python}" "$top/.venv/bin/python" python3; do
    if [ -n "${HPCSBI_PYTHON:-}" ] || "$python" -c "$has" 2>/dev/null; then
        exec "$python" "$top/jobs/submit.py" "$@"
    fi
done
echo "error: no Python here has hpcsbi's packages: activate its environment, or make it" \
    "(README.md, the first command), or set HPCSBI_PYTHON." >&2
exit 2
