"""Which rows are read, and at which redshifts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsbi.errors import BadInput
from hpcsbi.survey.choice import Choice, absences, choose, with_redshifts
from hpcsbi.survey.object_lists import ObjectLists, Redshifts
from hpcsbi.survey.record.source import Source
from hpcsbi.survey.record.spectra import Spectra, unread_spectra
from hpcsbi.survey.scan import ScannedFile


def files(*ids, wanted=None):
    """Scanned files of objects with these ids."""
    return [
        ScannedFile(
            Source(f"{k}.fits", rows=len(names)),
            (),
            (),
            tuple(
                (row, name) for row, name in enumerate(names) if wanted is None or name in wanted
            ),
        )
        for k, names in enumerate(ids)
    ]


def redshifts(**zred):
    """Of objects by name, the second with a distance."""
    distance = np.where(np.arange(len(zred)) == 1, 16.5, np.nan)
    return Redshifts(list(zred), np.array(list(zred.values())), distance)


def read(choice, rows=None):
    """File and number in it of each row."""
    pieces = choice.pieces(rows or slice(0, choice.rows))
    return [(source.path, k) for source, some in pieces for k in range(some.start, some.stop)]


def test_all_rows_without_lists():
    """One run a file, nothing given."""
    choice = choose(files("abc", "de"), ObjectLists())

    assert choice.rows == 5 and [source.rows for source in choice.sources] == [3, 2]
    assert all(np.isnan(values).all() for values in choice.given(slice(0, 5)))


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=9), min_size=1, max_size=5),
    st.sets(st.sampled_from("abcdefgh"), min_size=1),
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.1, 9), min_size=1),
    st.booleans(),
    st.integers(1, 7),
)
def test_choice_against_a_plain_loop(ids, wanted, zred, some, shard):
    """Every chosen row once, in the files' order, at its redshift, whatever the shard."""
    lists = ObjectLists(sorted(wanted) if some else None, redshifts(**zred))
    there = [
        (f"{k}.fits", row, name) for k, names in enumerate(ids) for row, name in enumerate(names)
    ]
    chosen = [each for each in there if not some or each[2] in wanted]
    scanned = files(*ids, wanted=lists.names)
    if not chosen or not {name for *_, name in there} & set(zred):
        with pytest.raises(BadInput, match="is in the files"):
            choose(scanned, lists)
        return

    choice = Choice.from_json(choose(scanned, lists).to_json())

    assert choice.rows == len(chosen)
    shards = [slice(k, min(k + shard, choice.rows)) for k in range(0, choice.rows, shard)]
    assert [row for rows in shards for row in read(choice, rows)] == [each[:2] for each in chosen]
    made = np.concatenate([choice.given(rows)[0] for rows in shards])
    np.testing.assert_array_equal(made, [zred.get(name, np.nan) for *_, name in chosen])


def test_ids_in_no_file_are_told_in_one_line_each():
    """Those of a list of objects by name, of redshifts their number and the first."""
    lists = ObjectLists(["a", "x", "y"], redshifts(b=0.1, v=0.2, w=0.3))

    ids, zred = absences(files("ab"), lists)

    assert "2 of its 3 ids are in no file: x, y" in ids
    assert "2 of its 3 ids are in no file: v, ..." in zred
    assert absences(files("ab"), ObjectLists(["b", "a"])) == []
    (many,) = absences(files("a"), ObjectLists(["a", *(f"x{k}" for k in range(99))]))
    assert "x19, ..." in many and "x20" not in many


def block(rows=3, **changes):
    """Spectra of which the survey knows no redshift."""
    values = {
        "wave": np.arange(4000.0, 4010), "flux": np.ones((rows, 10)), "ivar": np.ones((rows, 10)),
        "zred": np.full(rows, np.nan), "id": list("abc")[:rows], "unit": 1e-17,
        "zwarn": np.full(rows, True), "reason": ["its TARGETID is not in the redrock file"] * rows,
    }  # fmt: skip
    return Spectra(**values | changes)


def test_a_given_redshift_takes_the_place_of_the_surveys():
    """With its warning and its reason; other rows, and all else, stay."""
    spectra = block()

    made = with_redshifts(spectra, np.array([0.1, np.nan, 0.0]), np.array([np.nan, np.nan, 16.5]))

    np.testing.assert_array_equal(made.zred, [0.1, np.nan, 0.0])
    np.testing.assert_array_equal(made.distance, [np.nan, np.nan, 16.5])
    assert made.zwarn.tolist() == [False, True, False]
    assert [bool(reason) for reason in made.reason] == [False, True, False]
    assert made.flux is spectra.flux


def test_a_distance_of_the_file_stays_where_none_is_given():
    """It is measured, and no matter of the redshift."""
    spectra = block(distance=np.array([20.0, 20.0, 20.0]))

    made = with_redshifts(spectra, np.full(3, 0.01), np.array([np.nan, 30.0, np.nan]))

    assert made.distance.tolist() == [20.0, 30.0, 20.0]


def test_what_could_not_be_read_keeps_its_reason():
    """A redshift mends no file; without redshifts nothing changes."""
    broken = unread_spectra(["a-0"], "cut short")

    assert with_redshifts(broken, np.array([0.1]), np.array([np.nan])) is broken
    assert with_redshifts(block(), *np.full((2, 3), np.nan)).reason[0].startswith("its TARGETID")


def test_wavelengths_at_rest_are_not_shifted_again():
    """A redshift for them contradicts the file: a reason; 0 with a distance is right."""
    wave = np.linspace(3600.0, 7000.0, 50)
    spectra = Spectra(wave, np.ones((3, 50)), np.ones((3, 50)), np.zeros(3), ["a", "b", "c"], 1.0,
                      at_rest=np.ones(3, dtype=bool), reason=["no distance"] * 3)  # fmt: skip
    made = with_redshifts(spectra, np.array([0.43, 0.0, np.nan]), np.array([9.0, 9.0, np.nan]))

    np.testing.assert_array_equal(made.zred, [np.nan, 0.0, 0.0])
    assert "zred 0 and a distance" in made.reason[0]
    assert made.reason[1:].tolist() == ["", "no distance"]
