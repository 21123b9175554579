"""SHA256SUMS is what sha256sum writes."""

import subprocess

from hpcsbi.release.checksums import NAME, write_checksums


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
