"""SHA256SUMS is what sha256sum writes."""

import subprocess

import pytest

from hpcsbi.errors import BadInput
from hpcsbi.release.checksums import NAME, refuse_changed, write_checksums


def test_the_list_is_that_of_the_tool(tmp_path):
    """Byte by byte, of files in folders too; a change is noticed; made again it is the same."""
    (tmp_path / "sub").mkdir()
    names = ["a", "b.txt", "sub/c"]
    for name in names:
        (tmp_path / name).write_text(name)
    write_checksums(tmp_path)
    write_checksums(tmp_path)
    told = subprocess.run(
        ["sha256sum", *names], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert (tmp_path / NAME).read_text() == told.stdout
    (tmp_path / "sub" / "c").write_text("other")
    check = ["sha256sum", "--status", "-c", NAME]
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode != 0


def test_a_file_that_is_another_one_is_refused(tmp_path):
    """Or has gone; what is there beside the list is nobody's business."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileNotFoundError):
        refuse_changed(tmp_path)
    write_checksums(tmp_path)
    (tmp_path / "c").write_text("beside")
    refuse_changed(tmp_path)

    (tmp_path / "a").write_text("other")
    with pytest.raises(BadInput, match=r"a \(and 0 more\) is not what SHA256SUMS says"):
        refuse_changed(tmp_path)
    (tmp_path / "b").unlink()
    with pytest.raises(BadInput, match=r"a \(and 1 more\)"):
        refuse_changed(tmp_path)
    (tmp_path / NAME).write_text("")
    with pytest.raises(BadInput, match="its list of files"):
        refuse_changed(tmp_path)
