"""The MTConnect agent of the plant's machining line, whose controllers it shows second by second.

    python -m demo.mtconnect_simulator

What a machine does not say at the moment is UNAVAILABLE. Started again it is another instance that knows nothing of
before, as agents are; while it runs its buffer bridges any outage of its readers. It refuses all but GET.
"""

import argparse
import asyncio
import logging
import sys
from typing import Any

from demo.line_simulator import news, of_stations
from demo.mtconnect_agent import Agent, Item
from demo.plant_line import SECOND
from demo.plant_shown import shown
from demo.scada import moment
from demo.scada_tags import AGENT_SOURCE
from demo.simulators import Runs, now_us, seconds, simulator_dir, tell_requests, told_to_stop
from include.errors import HnaiError
from include.ot.tags import tags
from include.settings import settings

log = logging.getLogger("demo.mtconnect_simulator")
KINDS = {  # category, type, subtype and units of each measurement
    "execution": ("EVENT", "EXECUTION", "", ""),
    "mode": ("EVENT", "CONTROLLER_MODE", "", ""),
    "fault_code": ("EVENT", "x:FAULT_CODE", "", ""),
    "good_count": ("EVENT", "PART_COUNT", "GOOD", ""),
    "scrap_count": ("EVENT", "PART_COUNT", "BAD", ""),
    "rework_count": ("EVENT", "PART_COUNT", "x:REWORK", ""),
    "bearing_temperature_degc": ("SAMPLE", "TEMPERATURE", "", "CELSIUS"),
    "vibration_mm_per_s": ("SAMPLE", "VELOCITY", "", "MILLIMETER/SECOND"),
    "drive_load_pct": ("SAMPLE", "LOAD", "", "PERCENT"),
}


async def serve(stop: asyncio.Event) -> None:
    """Open the port, observe and answer until `stop`, close."""
    of = of_stations(tags(AGENT_SOURCE))
    begun = now_us() // SECOND * SECOND
    items = [Item(tag.asset_id, tag.measurement, *KINDS[tag.measurement]) for its in of.values() for tag in its]
    agent = Agent(items, begun // SECOND)
    sent: dict[str, Any] = {}

    async def observe(at: int) -> None:
        for station, its in of.items():
            for tag, value in news(sent, its, shown(station, moment(at))):
                await agent.see(station, tag.measurement, value, moment(at))

    runs = Runs(simulator_dir() / "mtconnect_runs.txt")
    runs.begin(begun)
    await observe(begun)
    await agent.start(settings.host, settings.port("mtconnect_simulator"))
    log.info("%d data items of %d devices at %s", len(items), len(of), settings.own("mtconnect_simulator"))
    try:
        async for at in seconds(begun, runs, stop):
            await observe(at)
            tell_requests("mtconnect", agent.asked["write"], agent.asked)
    finally:
        tell_requests("mtconnect", agent.asked["write"], agent.asked)
        await agent.stop()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.mtconnect_simulator", description=__doc__.splitlines()[0])
    parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")

    async def run() -> None:
        await serve(told_to_stop())

    try:
        asyncio.run(run())
    except (HnaiError, OSError) as error:
        print(f"The simulator stops: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
