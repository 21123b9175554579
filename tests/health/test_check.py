from hpcsbi.health.check import OK, WARNING, WRONG, Check, lines

CHECKS = [Check("cores", OK, "2 of them"), Check("SPS_HOME", WRONG, "is not\nset", "set it")]


def test_a_check_and_a_mend_are_a_line_each():
    """In a log, so that a search for WRONG finds all of what is."""
    assert lines(CHECKS) == [
        "OK       cores     2 of them",
        "WRONG    SPS_HOME  is not set",
        "                   mend: set it",
    ]


def test_a_terminal_gets_lines_that_fit():
    """Below each other, commands not torn at a hyphen or in a word."""
    words = "word " * 40 + "--mem-per-cpu=2G"
    told = lines([Check("disk", WARNING, words, "mend-it " * 30)], columns=100)

    assert max(map(len, told)) <= 100 and len(told) > 4
    assert all(line.startswith(" " * 15) for line in told[1:])
    assert " ".join(" ".join(told).split()).count("--mem-per-cpu=2G") == 1
