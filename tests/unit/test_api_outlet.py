"""What a thread writes to an Outlet is what its reader gets."""

import asyncio

from wharf.api.streams import Outlet


def test_an_empty_write_does_not_end_the_stream() -> None:
    async def play() -> list[bytes]:
        outlet = Outlet(asyncio.get_running_loop())
        chunks = outlet.chunks()
        found = []
        for data in (b"one", b"", b"two"):
            outlet.write(data)
            if data:
                found.append(await anext(chunks))
        outlet.write(b"")
        outlet.write(b"three")
        outlet.finish()
        return [*found, *[chunk async for chunk in chunks]]

    assert asyncio.run(play()) == [b"one", b"two", b"three"]


def test_only_an_empty_write_waits_for_more() -> None:
    async def play() -> list[bytes]:
        outlet = Outlet(asyncio.get_running_loop())
        outlet.write(b"")
        reading = asyncio.ensure_future(anext(outlet.chunks()))
        await asyncio.sleep(0)
        outlet.write(b"late")
        return [await reading]

    assert asyncio.run(play()) == [b"late"]
