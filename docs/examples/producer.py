#!/usr/bin/python3
"""A producer of a program's own: sends messages to a queue, each with the time at which it was sent.

usage: producer.py QUEUE MESSAGES [BYTES]

Where to connect and how to log in come from the variables that `streamharness testbed env` prints. It waits for the queue.
Needs pika 1.2 or newer (Debian: python3-pika).
"""

import sys
import time

import pika

from consumer import channel_with, parameters


def main(queue, messages, size):
    connection = pika.BlockingConnection(parameters())
    channel = channel_with(connection, queue)
    channel.confirm_delivery()
    for _ in range(messages):
        # Read with --set service.timestamp=header:sent_ns:ns
        sent = pika.BasicProperties(headers={"sent_ns": time.time_ns()})
        channel.basic_publish("", queue, bytes(size), sent)
    connection.close()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else 1000)
