"""The surveys whose files are read: a module with a class for each, and its line here."""

from astropy.io import fits

from hpcsbi.survey.readers.aaomega import Aaomega
from hpcsbi.survey.readers.desi import Desi
from hpcsbi.survey.readers.eso import Eso
from hpcsbi.survey.readers.file_format import FileFormat
from hpcsbi.survey.readers.jwst import Jwst
from hpcsbi.survey.readers.manga import Manga
from hpcsbi.survey.readers.manga_cube import MangaCube
from hpcsbi.survey.readers.pfs import Pfs
from hpcsbi.survey.readers.sdss import Sdss
from hpcsbi.survey.readers.stack import Stack
from hpcsbi.survey.readers.table import Table

__all__ = ["FORMATS", "survey_of"]

FORMATS: dict[str, FileFormat] = {
    each.name: each
    for each in (
        Sdss(),
        Desi(),
        Manga(),
        MangaCube(),
        Eso(),
        Jwst(),
        Pfs(),
        Aaomega(),
        Stack(),
        Table(),
    )
}


def survey_of(hdus: fits.HDUList) -> str | None:
    """Name of the first survey whose files look like this; None for none."""
    return next((name for name, each in FORMATS.items() if each.has(hdus)), None)
