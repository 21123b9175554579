#!/usr/bin/env bash
# Submit a whole run to SLURM, print the numbers of its jobs, and return; no terminal is needed
# after that.
#
#   slurm/pipeline.sh NAME [--dry-run] [--stages=simulate,augment] [overrides]
#   slurm/pipeline.sh mine site=lab experiment=survey "ingest.files=[spectra/*.fits]"
exec "${HPCSBI_PYTHON:-python}" "$(dirname "$0")/../jobs/submit.py" "$@"
