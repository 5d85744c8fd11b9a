"""Requests that cost a while begin one after the other."""

import asyncio

from seatrial.server.api.pace import Pace


def test_others_go_in_between() -> None:
    """Of five that come at once each has a turn of the event loop, in the order of coming."""
    done: list[str] = []

    async def main() -> None:
        pace = Pace()

        async def ask(name: str) -> None:
            await pace.turn()
            done.append(name)

        async def others() -> None:
            while "e" not in done:
                done.append("-")
                await asyncio.sleep(0)

        await asyncio.gather(others(), *(ask(name) for name in "abcde"))

    asyncio.run(main())
    names = [name for name in done if name != "-"]
    assert names == list("abcde")
    assert all(done[done.index(name) + 1] == "-" for name in "abcd")


def test_whoever_leaves_holds_nobody_up() -> None:
    """The next one has its turn."""

    async def main() -> None:
        pace = Pace()
        gone, stays = (asyncio.create_task(pace.turn()) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait_for(stays, 10)

    asyncio.run(main())


def test_it_may_be_used_in_one_loop_after_the_other() -> None:
    """As tests do, which start a loop for each question."""
    pace = Pace()

    async def main() -> None:
        await asyncio.gather(*(pace.turn() for _ in range(3)))

    asyncio.run(main())
    asyncio.run(main())
