"""What the operating system says of a file is told in a line, with its mend."""

import errno
import os

import pytest

from hpcsbi.errors import file_trouble
from hpcsbi.terminal import user_name


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/x"), ["/x", "folder", "move it"]),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x"), ["/x", "file is", "move it"]),
        (FileNotFoundError("no such run: choose another"), ["no such run: choose another"]),
        (OSError(errno.EIO, "Input/output error", "/x"), ["/x", "Input/output error"]),
    ],
)
def test_trouble_with_a_file_names_the_mend(error, words):
    """What can be mended says how; what is said already, and what is not known, stays."""
    text = file_trouble(error)

    assert all(word in text for word in words) and "\n" not in text


def test_what_is_not_for_a_user_to_read_is_not_called_damaged(tmp_path, monkeypatch):
    """Its owner is named, and nobody is told to remove it; a file that cannot be written is not."""
    path = tmp_path / "zarr.json"
    path.write_text("{}")
    error = PermissionError(errno.EACCES, "Permission denied", str(path))
    assert "not for you" not in file_trouble(error)

    monkeypatch.setattr(os, "access", lambda *_: False)

    assert f"for its owner ({user_name(os.getuid())}): ask" in file_trouble(error)
    assert "remove" not in file_trouble(error)


def test_what_cannot_be_made_is_not_called_closed(tmp_path):
    """It is the folder around it that is not this user's: another place is the mend."""
    path = tmp_path / "runs"
    text = file_trouble(PermissionError(errno.EACCES, "Permission denied", str(path)))

    assert f"{path} cannot be made, for {tmp_path} is not for you to write" in text
    assert "run=" in text and "read" not in text
