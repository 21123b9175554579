"""The folder of a release that a referee makes some of its rows again from."""

from dataclasses import dataclass
from pathlib import Path

from hpcsbi.run.folder import FlowFolder

__all__ = ["REFEREE", "RefereeFolder", "referee_folder"]

REFEREE = "referee"  # its name in a release


@dataclass(frozen=True)
class RefereeFolder:
    """Spectra, flow, settings and rows of some objects: what it takes to make the rows again."""

    path: Path

    @property
    def spectra(self) -> Path:
        """The spectra as `ingest` stored them, those rows alone."""
        return self.path / "spectra.zarr"

    @property
    def flow(self) -> FlowFolder:
        """The flow with its table."""
        return FlowFolder(self.path / "flow")

    @property
    def settings(self) -> Path:
        """Options of `infer`, and what made the rows, JSON."""
        return self.path / "settings.json"

    @property
    def rows(self) -> Path:
        """The released rows, Parquet."""
        return self.path / "rows.parquet"

    @property
    def rerun(self) -> Path:
        """The rows that this folder gave when the release was made, Parquet."""
        return self.path / "rerun.parquet"

    @property
    def versions(self) -> Path:
        """Versions of the libraries that gave them, as pip takes constraints."""
        return self.path / "constraints.txt"

    @property
    def readme(self) -> Path:
        """What to do with it."""
        return self.path / "README.txt"


def referee_folder(release: str | Path) -> RefereeFolder:
    """That of a release.

    Arguments:
        release: folder of the release, or of the part for a referee itself.

    Raises:
        FileNotFoundError: there is none.
    """
    for path in (Path(release), Path(release) / REFEREE):
        if RefereeFolder(path).settings.is_file():
            return RefereeFolder(path)
    raise FileNotFoundError(
        f"{release} has no folder {REFEREE}, which is what is made again: name another "
        "reproduce.release, or release the catalogue with release.referee=20."
    )
