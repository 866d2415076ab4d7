import asyncio
import threading
import time

from tests.support.virtual_time import run_virtual


def test_an_hour_passes_at_once() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run_virtual(main()) >= 3600
    assert time.monotonic() - began < 60


def test_timers_fire_in_order() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def note(delay_s: float, number: int) -> None:
            await asyncio.sleep(delay_s)
            order.append(number)

        await asyncio.gather(note(3, 3), note(1, 1), note(2, 2))
        return order

    assert run_virtual(main()) == [1, 2, 3]


def test_the_clock_stands_while_a_thread_works() -> None:
    async def main() -> bool:
        release = threading.Event()
        job = asyncio.get_running_loop().run_in_executor(None, release.wait, 10)
        threading.Timer(0.05, release.set).start()
        async with asyncio.timeout(1):
            return await job

    assert run_virtual(main())
