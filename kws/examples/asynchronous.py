"""A stopwatch with asyncio: "go" starts it, "stop" stops it; it ticks while it listens.

python -m kws.examples.asynchronous
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count

import kws


async def tick() -> None:
    """Count seconds."""
    for second in count(1):
        await asyncio.sleep(1)
        print(second)


async def main() -> None:
    """Hear the microphone until cancelled."""
    print('say "go", then "stop"')
    watch: asyncio.Task[None] | None = None
    async for heard in kws.Spotter(keywords=["go", "stop"]):
        print(heard.keyword)
        if watch is not None:
            watch.cancel()
        watch = asyncio.create_task(tick()) if heard.keyword == "go" else None


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    except kws.KwsError as error:
        sys.exit(f"asynchronous: {error}")
