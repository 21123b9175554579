from hpcsbi.launch.manual import manual


def test_help_is_of_the_job():
    """Its own node with the comments, the choices of its groups, and where the rest is."""
    train, infer = manual("train", "Fit.", ("train",)), manual("infer", "Infer.", ("infer",))

    assert "steps: 20000" in train and "source: fresh  # fresh or stored" in train
    assert "best         zuko's masked autoregressive flow" in train
    assert "keep_draws" not in train and "keep_draws" in infer and "steps:" not in infer
    assert "conf/config.yaml" in train and "demo " in train
