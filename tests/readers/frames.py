#!/usr/bin/env python3
"""Reads Lstream's messages with h5py and finds the peaks that they name.

usage: frames.py FILE...      prints, for each, events, first time, and peaks found
"""

import sys

import h5py
import numpy as np


def local_maxima(frame, above):
    """Rows and columns of pixels above a threshold that no neighbour exceeds."""
    padded = np.pad(frame.astype(np.int64), 1)
    around = [
        np.roll(padded, (row, column), axis=(0, 1))[1:-1, 1:-1]
        for row in (-1, 0, 1)
        for column in (-1, 0, 1)
        if (row, column) != (0, 0)
    ]
    top = np.all([frame >= other for other in around], axis=0)
    return {(int(row), int(column)) for row, column in np.argwhere(top & (frame > above))}


def main(paths):
    for path in paths:
        with h5py.File(path, "r") as file:
            frames, times = file["/data/data"], file["/data/timestamp"][()]
            assert frames.dtype == np.uint16 and frames.chunks == (1, *frames.shape[1:]), frames
            assert times.dtype == np.float64 and len(times) == len(frames) and np.all(np.diff(times) > 0), times
            assert np.all((file["/data/wavelength"][()] > 1.2) & (file["/data/wavelength"][()] < 1.4))
            found = 0
            for frame, peaks in zip(frames, file["/data/peaks"][()]):
                named = {(int(row), int(column)) for row, column, height in peaks if height}
                assert local_maxima(frame, 1400) == named, (path, named)
                found += len(named)
            print(f"{path} events={len(frames)} first={times[0]!r} peaks={found}")


main(sys.argv[1:])
