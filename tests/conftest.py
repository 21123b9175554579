import sys
from pathlib import Path

from hypothesis import settings

# The jobs are scripts; their shared part registers the resolvers that the configuration needs.
sys.path.append(str(Path(__file__).parents[1] / "jobs"))

settings.register_profile("hpcsbi", deadline=None, max_examples=50)
settings.load_profile("hpcsbi")
