"""The first lines of a profile and its flame graph, made of stacks as py-spy writes them."""

from xml.etree import ElementTree

from bench.flame import flame_graph
from bench.profiling import Own, awake, most_own_time, shown

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


def test_who_waits_for_work_is_not_at_it() -> None:
    waiting = "run (threading.py:2);_worker (concurrent/futures/thread.py:81) 900\n"
    assert awake(f"{waiting}{STACKS}") == STACKS


def test_nothing_was_sampled() -> None:
    assert most_own_time("") == []


def test_a_function_is_as_wide_as_it_was_met_and_stands_upon_its_caller() -> None:
    boxes = {}
    for group in ElementTree.fromstring(flame_graph(STACKS)):
        title, rect, _ = group
        boxes[title.text] = [float(rect.get(name) or 0) for name in ("x", "y", "width")]
    assert boxes["all 100.0%"] == [0, 0, 1600]
    assert boxes["run (loop.py:10) 90.0%"] == [0, 34, 1440]
    assert boxes["encode (opus.py:8) 40.0%"] == [480, 51, 640]  # beside the same function at another line
    assert boxes["<listcomp> (opus.py:9) 10.0%"] == [1440, 68, 160]


def test_a_flame_graph_of_nothing_is_an_empty_one() -> None:
    assert len(ElementTree.fromstring(flame_graph(""))) == 1
