"""The bounds by themselves, on a virtual clock: how much, how often, how many."""

import asyncio

from tests.support.virtual_time import run_virtual
from xiaozhi_server.core.bounds import Allowance, Bound, Door, Porch, Seldom, Squabbles


class Visitor:
    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_an_allowance_fills_up_again_and_no_further_than_its_burst() -> None:
    async def spending() -> None:
        allowance = Allowance(per_second=2, burst=3)
        assert [allowance.take() for _ in range(4)] == [True, True, True, False]
        await asyncio.sleep(0.5)
        assert [allowance.take() for _ in range(2)] == [True, False]
        await asyncio.sleep(1000)
        assert [allowance.take() for _ in range(4)] == [True, True, True, False]

    run_virtual(spending())


def test_a_debt_says_how_long_it_takes_to_pay() -> None:
    async def owing() -> None:
        allowance = Allowance(per_second=10, burst=5)
        allowance.spend(5)
        assert allowance.debt_s <= 0
        allowance.spend(20)
        assert allowance.debt_s == 2
        await asyncio.sleep(2)
        allowance.spend(1)
        assert round(allowance.debt_s, 6) == 0.1

    run_virtual(owing())


def test_a_line_appears_seldom() -> None:
    async def saying() -> None:
        seldom = Seldom(10)
        assert [seldom() for _ in range(3)] == [True, False, False]
        await asyncio.sleep(10)
        assert seldom()

    run_virtual(saying())


def test_the_door_sends_the_longest_waiting_away_and_counts_who_is_inside() -> None:
    async def visiting() -> None:
        reached: list[Bound] = []
        porch = Porch(2, "max_pending_connections", reached.append)
        door = Door(1, porch, reached.append)
        visitors = [Visitor() for _ in range(3)]
        for visitor in visitors:
            door.knock(visitor)
        assert [visitor.aborted for visitor in visitors] == [True, False, False]
        assert door.enter(visitors[1], in_place_of_another=False)
        assert not door.enter(visitors[2], in_place_of_another=False)
        assert door.enter(visitors[2], in_place_of_another=True)
        assert len(porch) == 0
        door.turn_away(visitors[2])
        door.gone(visitors[1])
        assert door.enter(Visitor(), in_place_of_another=False)
        assert reached == ["max_pending_connections", "max_connections"]

    run_virtual(visiting())


def test_a_squabble_is_held_up_and_goes_on_later() -> None:
    async def squabbling() -> None:
        reached: list[Bound] = []
        squabbles = Squabbles(2, reached.append)
        assert [squabbles.may_replace("a") for _ in range(3)] == [True, True, False]
        assert squabbles.may_replace("b")
        await asyncio.sleep(30)
        assert [squabbles.may_replace("a") for _ in range(2)] == [True, False]
        squabbles.forget("a")
        assert squabbles.may_replace("a")
        assert reached == ["replacements_per_minute"] * 2

    run_virtual(squabbling())
