#!/usr/bin/env python3
"""Walks ADARA banked-event packets by the published definition. Standard library only.

usage: adara.py FILE...      prints, for each, its neutrons and the time of its pulse
"""

import struct
import sys


def main(paths):
    for path in paths:
        with open(path, "rb") as file:
            body = file.read()
        length, packet, seconds, nanoseconds = struct.unpack_from("<4I", body)
        assert length + 16 == len(body) and packet >> 8 == 0x4000, (length, packet)
        *_, banks = struct.unpack_from("<4I", body, 32)
        at, neutrons = 48, 0
        for _ in range(banks):
            bank, count = struct.unpack_from("<2I", body, at)
            for tof, pixel in struct.iter_unpack("<2I", body[at + 8 : at + 8 + 8 * count]):
                assert tof < 166_667 and pixel >> 16 == bank, (tof, pixel, bank)
            at, neutrons = at + 8 + 8 * count, neutrons + count
        assert at == len(body), "something follows the last bank"
        print(f"{path} events={neutrons} first={seconds}.{nanoseconds:09}")


main(sys.argv[1:])
