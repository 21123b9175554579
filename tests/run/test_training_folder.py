"""What a training leaves in its folder; `tests/stages/test_train.py` kills it between the files."""

import tiny

from hpcsbi.run.folder import FlowFolder
from hpcsbi.run.training_folder import copy_table, remove_leftovers
from hpcsbi.store.files import save_weights


def test_halves_go_and_the_checkpoint_with_the_end(tmp_path):
    """Of a training under way the checkpoint stays."""
    checkpoint = FlowFolder(tmp_path).checkpoint
    save_weights(checkpoint, {}, {"settings": {}})
    (tmp_path / "ssp.zarr.partial").mkdir()
    (tmp_path / "x.partial").touch()

    remove_leftovers(tmp_path, done=False)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]
    remove_leftovers(tmp_path, done=True)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_table_is_copied_again(tmp_path, capsys):
    """A whole one is left alone; the copy has the bytes of the table."""
    copy_table(tiny.TABLE, tmp_path)
    copy = FlowFolder(tmp_path).table
    whole = tiny.all_bytes(copy)
    (copy / "zarr.json").write_text("{}")

    copy_table(tiny.TABLE, tmp_path)
    assert "damaged" in capsys.readouterr().out
    assert tiny.all_bytes(copy) == whole == tiny.all_bytes(tiny.TABLE)
    copy_table(tiny.TABLE, tmp_path)
    assert capsys.readouterr().out == ""
