"""The first lines of a profile, taken from stacks as py-spy writes them."""

from bench.profiling import Own, most_own_time, shown

STACKS = """\
<module> (main.py:3);run (loop.py:10);encode (opus.py:7) 30
<module> (main.py:3);run (loop.py:10);encode (opus.py:8) 40
<module> (main.py:3);run (loop.py:10) 20
<module> (main.py:3);run (loop.py:11);encode (opus.py:8);<listcomp> (opus.py:9) 10
"""


def test_what_was_called_does_not_count_and_the_lines_of_a_function_count_together() -> None:
    assert most_own_time(STACKS) == [
        Own(0.7, "encode (opus.py:8)"), Own(0.2, "run (loop.py:10)"), Own(0.1, "<listcomp> (opus.py:9)")
    ]  # fmt: skip


def test_only_the_first_are_told_as_shares_of_everything() -> None:
    assert shown("quick", most_own_time(STACKS, 1)) == ["quick", " 70.0%  encode (opus.py:8)"]


def test_nothing_was_sampled() -> None:
    assert most_own_time("") == []
