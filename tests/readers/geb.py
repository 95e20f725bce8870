#!/usr/bin/env python3
"""Walks GRETINA events by the published byte table. Standard library only.

usage: geb.py FILE...      prints, for each, events, channels or interaction points, and the first timestamp
"""

import struct
import sys

DECOMPOSED, RAW = 1, 2


def events(body):
    """(type, timestamp, payload) of each; every length comes from the bytes themselves."""
    at = 0
    while at < len(body):
        kind, length, ticks = struct.unpack_from("<iiq", body, at)
        assert at + 16 + length <= len(body), "an event ends after its message"
        yield kind, ticks, body[at + 16 : at + 16 + length]
        at += 16 + length


def raw_channels(payload, ticks):
    """The number of channels of a raw payload; each must be of the event's time."""
    at = count = 0
    while at < len(payload):
        words = struct.unpack_from(">16H", payload, at)
        assert words[:2] == (0xAAAA, 0xAAAA), "no sync words"
        assert words[7] << 32 | words[4] << 16 | words[5] == ticks & 0xFFFF_FFFF_FFFF, "a channel of another time"
        samples = 2 * (words[2] & 0x7FF) - 14
        at += 32 + 2 * samples
        count += 1
    assert at == len(payload), "a channel ends after its event"
    return count


def interaction_points(payload, ticks):
    """The number of interaction points of a decomposed payload, whose parts of the energy add up to all of it."""
    kind, _crystal, points = struct.unpack_from("<Iii", payload)
    (energy,) = struct.unpack_from("<f", payload, 12)
    assert kind == 0xABCD5678 and len(payload) == 464 and struct.unpack_from("<q", payload, 32) == (ticks,)
    parts = [struct.unpack_from("<fif", payload, 80 + 24 * point + 12) for point in range(points)]
    assert abs(sum(part for part, _, _ in parts) - 1) < 1e-5, parts
    assert abs(sum(in_segment for _, _, in_segment in parts) - energy) < 0.01, (parts, energy)
    return points


def main(paths):
    for path in paths:
        with open(path, "rb") as file:
            body = file.read()
        parts, times = 0, []
        for kind, ticks, payload in events(body):
            parts += {RAW: raw_channels, DECOMPOSED: interaction_points}[kind](payload, ticks)
            times.append(ticks)
        assert times and times == sorted(set(times)), "times do not increase"
        print(f"{path} events={len(times)} parts={parts} first={times[0]}")


main(sys.argv[1:])
