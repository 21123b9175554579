"""The scan of the files' headers: kept, shared by parts, and made again where a file changed."""

import json
import os

import numpy as np
import pytest
import survey_files

import hpcsbi.survey.scan
from hpcsbi.cluster import deadline
from hpcsbi.cluster.deadline import OutOfTime
from hpcsbi.cluster.executors import Array, Serial
from hpcsbi.errors import BadInput
from hpcsbi.survey.readers.formats import Survey
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.scan import scan

TABLE = Survey("table")


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that were read to their end."""
    names, content = [], hpcsbi.survey.scan._content
    monkeypatch.setattr(
        hpcsbi.survey.scan, "_content", lambda path: names.append(path.name) or content(path)
    )
    return names


def small(folder, files):
    """As many files of one spectrum each."""
    wave = np.linspace(3600.0, 9800.0, 60)
    for k in range(files):
        np.savez(
            folder / f"s{k:03d}.npz", id=np.array([f"o{k}"]), zred=np.array([0.05 + 1e-3 * k]),
            wave=wave, flux=np.ones((1, 60)), ivar=np.ones((1, 60)),
        )  # fmt: skip
    return [Source(str(path)) for path in sorted(folder.glob("*.npz"))]


def test_a_second_scan_reads_nothing(tmp_path, hashed):
    """What was found is found again; a file that changed is read again, and it alone."""
    sources = small(tmp_path, 70)
    first = scan(TABLE, sources, Serial(), tmp_path / "kept")
    assert len(hashed) == 70
    assert scan(TABLE, sources, Serial(), tmp_path / "kept") == first and len(hashed) == 70

    path = tmp_path / "s003.npz"
    arrays = dict(np.load(path)) | {"zred": np.array([0.7])}
    np.savez(path, **arrays)

    second = scan(TABLE, sources, Serial(), tmp_path / "kept")
    assert hashed[70:] == ["s003.npz"]
    changed = [
        a.source.path for a, b in zip(first, second, strict=True) if a.contents != b.contents
    ]
    assert changed == [str(path)]


@pytest.mark.parametrize("text", ["", "7", "[7]", '[{"source": 1}]', "{}", "\udcff", '[{"sour'])
@pytest.mark.parametrize("cluster", [Serial(), Array(0, 2), Array(1, 2)])
def test_what_is_kept_and_damaged_is_looked_at_again(tmp_path, hashed, text, cluster):
    """Also by a part that would trust what the others have found."""
    sources = small(tmp_path, 3)
    first = scan(TABLE, sources, Serial(), tmp_path / "kept")
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(text.encode(errors="surrogateescape"))

    assert scan(TABLE, sources, cluster, tmp_path / "kept") == first

    assert len(hashed) == 6
    assert scan(TABLE, sources, cluster, tmp_path / "kept") == first and len(hashed) == 6


def test_a_file_that_keeps_its_size_and_time_is_seen(tmp_path, hashed):
    """Other contents under the old size and time of change, as rsync -t writes them."""
    sources = small(tmp_path, 2)
    scan(TABLE, sources, Serial(), tmp_path / "kept")
    path = tmp_path / "s001.npz"
    before = path.stat()
    np.savez(path, **(dict(np.load(path)) | {"zred": np.array([0.7])}))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size

    scan(TABLE, sources, Serial(), tmp_path / "kept")

    assert hashed[2:] == ["s001.npz"]


def test_a_job_shorter_than_the_scan_goes_on(tmp_path, monkeypatch, hashed):
    """Jobs that end after some pieces finish the scan together, each file once."""
    sources = small(tmp_path, 64 * 4)
    for end in (50, 150):
        monkeypatch.setattr("hpcsbi.cluster.executors.leaves", lambda _, end=end: len(hashed) < end)
        with pytest.raises(OutOfTime):
            scan(TABLE, sources, Serial(), tmp_path / "kept")
    monkeypatch.setattr("hpcsbi.cluster.executors.leaves", deadline.leaves)

    found = scan(TABLE, sources, Serial(), tmp_path / "kept")

    assert sorted(hashed) == [f"s{k:03d}.npz" for k in range(256)]
    assert [each.source.rows for each in found] == [1] * 256


def test_killed_between_any_two_files_keeps_what_was_found(tmp_path, boundaries, hashed):
    """The scan that goes on finds the same, and reads again only the piece that was cut off."""
    sources = small(tmp_path, 64 * 3)
    whole = scan(TABLE, sources, Serial(), tmp_path / "whole")
    total = boundaries.count
    assert total >= 3

    for kill in range(total):
        del hashed[:]
        kept = tmp_path / f"kept{kill}"
        with boundaries.killed_at(kill, hard=True):
            scan(TABLE, sources, Serial(), kept)
        assert scan(TABLE, sources, Serial(), kept) == whole
        assert len(hashed) <= 64 * 4


def test_parts_share_the_work(tmp_path, hashed):
    """Each part begins with its own files and takes over what the others have found."""
    sources = small(tmp_path, 64 * 3)

    whole = scan(TABLE, sources, Serial(), tmp_path / "whole")
    del hashed[:]
    found = [scan(TABLE, sources, Array(k, 3), tmp_path / "kept") for k in range(3)]

    assert found == [whole] * 3
    assert len(hashed) == 192 and hashed[0] == "s000.npz"
    del hashed[:]
    scan(TABLE, sources, Array(1, 3), tmp_path / "other")
    assert hashed[0] == "s064.npz"


def test_parts_look_at_their_own_files_only(tmp_path, monkeypatch):
    """A part that finds all pieces asks for the times of change of its own share."""
    sources = small(tmp_path, 64 * 3)
    scan(TABLE, sources, Serial(), tmp_path / "kept")
    asked, stamp = [], hpcsbi.survey.scan._stamp
    monkeypatch.setattr(
        hpcsbi.survey.scan, "_stamp", lambda path: asked.append(path.name) or stamp(path)
    )

    scan(TABLE, sources, Array(1, 3), tmp_path / "kept")

    assert asked == [f"s{k:03d}.npz" for k in range(64, 128)]


def test_wrong_files_cost_no_second_look_at_the_others(tmp_path, hashed):
    """The scan that names a wrong file keeps what it found of the rest."""
    sources = small(tmp_path, 5)
    good = (tmp_path / "s002.npz").read_bytes()
    (tmp_path / "s002.npz").write_bytes(good[:100])
    with pytest.raises(BadInput, match=r"s002\.npz"):
        scan(TABLE, sources, Serial(), tmp_path / "kept")
    (tmp_path / "s002.npz").write_bytes(good)
    del hashed[:]

    assert len(scan(TABLE, sources, Serial(), tmp_path / "kept")) == 5
    assert hashed == ["s002.npz"]


def test_other_ways_to_read_are_another_scan(tmp_path, hashed):
    """The unit of flux, or air, may decide whether a file is good."""
    sources = small(tmp_path, 3)
    for survey in (TABLE, Survey("table", air=True), Survey("table", flux_unit="W m-2 um-1")):
        scan(survey, sources, Serial(), tmp_path / "kept")

    assert len(hashed) == 9
    assert all(json.loads(path.read_bytes()) for path in (tmp_path / "kept").glob("*.json"))


def test_equal_contents_are_told_by_path(tmp_path):
    """Both paths are named; one redrock for two files of spectra is no repeat."""
    (tmp_path / "a").mkdir()
    one = survey_files.table(tmp_path / "own.fits")
    two = tmp_path / "a" / "own.fits"
    two.write_bytes(one.read_bytes())

    with pytest.raises(BadInput, match="same contents") as caught:
        scan(TABLE, [Source(str(one)), Source(str(two))], Serial(), tmp_path / "kept")

    assert str(one) in str(caught.value) and str(two) in str(caught.value)


def test_rows_are_found_by_their_ids(tmp_path, hashed):
    """Number and id of each row that is asked for; what is kept holds for other ids too."""
    sources = small(tmp_path, 3)
    first = scan(TABLE, sources, Serial(), tmp_path / "kept", {"o1", "none"})
    second = scan(TABLE, sources, Serial(), tmp_path / "kept", {"o0", "o2"})

    assert [each.named for each in first] == [(), ((0, "o1"),), ()]
    assert [each.named for each in second] == [((0, "o0"),), (), ((0, "o2"),)]
    assert len(hashed) == 3
    assert not any(each.named for each in scan(TABLE, sources, Serial(), tmp_path / "kept"))


def test_a_key_in_two_files_is_told_with_both(tmp_path):
    """Whatever the files are called; objects may have one id, spectra never one key."""
    for name in ("a", "b"):
        np.savez(
            tmp_path / f"{name}.npz", id=np.array(["o", "o"]), zred=np.full(2, 0.1),
            key=np.array([f"o-{name}", "o-night-3"]), wave=np.linspace(3600.0, 9800.0, 60),
            flux=np.ones((2, 60)), ivar=np.full((2, 60), 2.0 if name == "a" else 3.0),
        )  # fmt: skip
    sources = [Source(str(path)) for path in sorted(tmp_path.glob("*.npz"))]
    with pytest.raises(BadInput, match=r"a\.npz and .*b\.npz both hold the spectrum o-night-3, 1 "):
        scan(TABLE, sources, Serial(), tmp_path / "kept")
    assert len(scan(TABLE, sources[:1], Serial(), tmp_path / "kept")[0].keys) == 16
