"""The Modbus TCP gateway of the demo operator's fields: a remote terminal unit a field, the meters of its wells.

    python -m demo.modbus_simulator
    python -m demo.modbus_simulator --allow-writes    # takes writes instead of refusing them, for proofs

The map, zero-based, for the n-th well of a field (n counts from zero); `include/ot/sources/field_rtu.yaml` says the
same for the bridge:

    unit  field     rates                                                  is_running
    1     EAGLE     input registers 8 n, float32, high word first          discrete input n
    2     MESQUITE  input registers 8 n, float32, low word first           discrete input n
    3     NORDLYS   holding registers 8 n, int32, high word first, scaled  coil n

    at 8 n: oil_rate (int32: hundredths); at 8 n + 2: gas_rate (tenths); at 8 n + 4: water_injection_rate (hundredths)

An answer holds the truth of the current whole second. What clients have asked is counted by function code in
`<state>/ot/simulator/modbus_requests.json`. SIGTERM ends it.
"""

import argparse
import asyncio
import logging
import struct
import sys
from collections import Counter
from collections.abc import Sequence

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from pymodbus.simulator.simutils import SimUtils

from demo import scada
from demo.scada import SECOND
from demo.scada_tags import STRIDE, Register, registers
from demo.simulators import Instruments, Runs, now_us, seconds, simulator_dir, tell_requests, told_to_stop
from include.errors import HnaiError
from include.settings import settings

log = logging.getLogger("demo.modbus_simulator")
READS = (1, 2, 3, 4)


class Terminal:
    """One remote terminal unit: registers that are filled when they are read."""

    def __init__(self, unit_id: int, of: Sequence[Register], allow_writes: bool) -> None:
        self.unit_id, self.registers, self.allow_writes = unit_id, list(of), allow_writes
        self.instruments = Instruments([r.tag_id for r in of])
        flags = 1 + max(r.offset for r in of if r.type == "bool")
        words = STRIDE * flags
        self.device = SimDevice(
            unit_id,
            simdata=(
                [SimData(0, values=[False] * flags, datatype=DataType.BITS)],
                [SimData(0, values=[False] * flags, datatype=DataType.BITS)],
                [SimData(0, values=[0] * words, datatype=DataType.REGISTERS)],
                [SimData(0, values=[0] * words, datatype=DataType.REGISTERS)],
            ),
            action=self._act,
        )

    async def _act(self, function, _start, _address, _count, block: list[int], written) -> ExcCodes | None:
        """Called by pymodbus before it answers: fill the block, or refuse a write."""
        if written is not None:
            return None if self.allow_writes else ExcCodes.ILLEGAL_FUNCTION
        values, _ = self.instruments.at(now_us() // SECOND * SECOND)
        if function in (1, 2):
            bits = [False] * (16 * (len(block) - 1))
            for register, value in zip(self.registers, values, strict=True):
                if register.function == function:
                    bits[register.offset] = bool(value)
            block[:-1] = SimUtils.bitsToRegisters(bits)
        else:
            for register, value in zip(self.registers, values, strict=True):
                if register.function == function:
                    block[register.offset : register.offset + 2] = words_of(register, float(value))
        return None


def words_of(register: Register, value: float) -> tuple[int, int]:
    """The two words of a value, in the order of the register's maker."""
    if register.type == "float32":
        high, low = struct.unpack(">HH", struct.pack(">f", value))
    else:
        high, low = struct.unpack(">HH", struct.pack(">i", round(value / register.scale)))
    return (high, low) if register.word_order == "big" else (low, high)


async def serve(stop: asyncio.Event, allow_writes: bool = False) -> None:
    """Open the port, answer until `stop`, close."""
    scada.remember_operator()
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it logs each refused request with a traceback
    of_unit: dict[int, list[Register]] = {}
    for register in registers():
        of_unit.setdefault(register.unit_id, []).append(register)
    terminals = [Terminal(unit_id, found, allow_writes) for unit_id, found in sorted(of_unit.items())]
    asked: Counter[str] = Counter()

    def count(is_sent: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not is_sent:
            asked[str(pdu.function_code)] += 1
        return pdu

    server = ModbusTcpServer(
        [t.device for t in terminals],
        address=(settings.host, settings.port("modbus_simulator")),
        trace_pdu=count,
    )
    if not await server.listen():
        raise OSError(f"port {settings.port('modbus_simulator')} of {settings.host} is taken; what else listens there?")
    log.info(
        "%d registers of %d units at %s:%d%s",
        sum(len(t.registers) for t in terminals),
        len(terminals),
        settings.host,
        settings.port("modbus_simulator"),
        "; WRITES ARE ALLOWED" if allow_writes else "",
    )
    runs = Runs(simulator_dir() / "modbus_runs.txt")
    at = now_us() // SECOND * SECOND
    runs.begin(at)
    try:
        async for _ in seconds(at, runs, stop):
            tell_requests("modbus", _writes(asked), asked)
    finally:
        tell_requests("modbus", _writes(asked), asked)
        await server.shutdown()


def _writes(asked: Counter[str]) -> int:
    """Requests that do more than read, whether they were refused or not."""
    return sum(n for function, n in asked.items() if int(function) not in READS)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.modbus_simulator", description=__doc__.splitlines()[0])
    parser.add_argument("--allow-writes", action="store_true", help="take writes instead of refusing them")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")

    async def run() -> None:
        await serve(told_to_stop(), chosen.allow_writes)

    try:
        asyncio.run(run())
    except (HnaiError, OSError) as error:
        print(f"The simulator stops: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
