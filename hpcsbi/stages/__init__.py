"""One verb a file: what jobs/*.py run."""
