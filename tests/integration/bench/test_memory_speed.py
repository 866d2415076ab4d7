"""The quick form of the bench of memory: what it prints beside what was promised. How fast it is, is not asked here."""

from dataclasses import replace

from bench.memory_speed import QUICK, Figure, run, table

TINY = replace(QUICK, many_owners=20, active_owners=10, seconds=0.2, talking=3)


async def figures(case: str) -> dict[str, Figure]:
    return {one.name: one for one in await run([case], TINY)}


async def test_a_short_sentence_is_embedded_by_the_real_model() -> None:
    told = await figures("embedder")
    p50 = told["p50 of a short sentence, one thread"]
    assert p50.wanted == "<= 8"
    assert p50.kept is (p50.value <= 8)
    # The model that is looked up in takes no time to speak of.
    assert told["processor time of a short sentence, p50"].value > 0.5


async def test_a_live_recall_asks_no_model_and_an_exchange_is_embedded_at_once() -> None:
    told = await figures("live")
    assert (told["model calls of all recalls"].value, told["model calls of all recalls"].kept) == (0, True)
    assert (told["exchanges saved"].value, told["exchanges saved"].kept) == (30, True)
    batches = told["embedding batches for each of them"]
    assert 0 < batches.value <= 1
    assert batches.kept


async def test_every_line_of_ten_thousand_owners_has_its_bound() -> None:
    told = await figures("million")
    bounds = {name: one.wanted for name, one in told.items() if one.wanted}
    assert {bound for name, bound in bounds.items() if name.startswith("p95")} == {"<= 5"}
    assert {bound for name, bound in bounds.items() if name.startswith("32 callers")} == {">= 3000"}
    assert told.keys() - bounds.keys() == {"right fact in top 10"}


def test_a_broken_promise_says_no() -> None:
    lines = table([Figure("case", "fine", 1, "ms", "<= 2", True), Figure("case", "not", 3, "ms", "<= 2", False)])
    assert [line.split("|")[-2].strip() for line in lines.splitlines()[2:]] == ["yes", "NO"]
