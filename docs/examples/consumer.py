#!/usr/bin/python3
"""A consumer of a program's own: takes messages from a queue, works on each, and replies to whoever wants a reply.

usage: consumer.py QUEUE [LOG]

Where to connect and how to log in come from the variables that `streamharness testbed env` prints. It waits for the queue,
and ends when the queue is deleted. Each line of LOG has the producer and the number of a message, and the nanoseconds from
its delivery to its reply. Needs pika 1.2 or newer (Debian: python3-pika).
"""

import os
import ssl
import sys
import time
from urllib.parse import urlsplit

import pika

PREFETCH = 64
WAIT_S = 60


def parameters():
    """The address and the login of the service, with TLS if its URL asks for it."""
    url = urlsplit(os.environ["STREAMHARNESS_URLS"].split(",")[0])
    with open(os.environ["STREAMHARNESS_PASSWORD_FILE"], encoding="utf-8") as file:
        login = pika.PlainCredentials(url.username, file.read().strip())
    tls = None
    if url.scheme == "amqps":
        trust = ssl.create_default_context(cafile=os.environ["STREAMHARNESS_CA"])
        tls = pika.SSLOptions(trust, url.hostname)
    return pika.ConnectionParameters(
        url.hostname, url.port, credentials=login, ssl_options=tls, tcp_options={"TCP_NODELAY": 1}
    )


def channel_with(connection, queue):
    """A channel, once the queue is there."""
    deadline = time.monotonic() + WAIT_S
    while True:
        channel = connection.channel()
        try:
            channel.queue_declare(queue, passive=True)
            return channel
        except pika.exceptions.ChannelClosedByBroker:
            if time.monotonic() > deadline:
                raise
            connection.sleep(0.1)


def identity(correlation_id):
    """The producer and the number of a message, from its envelope."""
    fields = correlation_id.split("-")
    return int(fields[1], 16), int(fields[2], 16)


def analyse(body):
    """Your own analysis goes here: this one counts the bytes that are not zero."""
    return len(body) - body.count(0)


def main(queue, log):
    connection = pika.BlockingConnection(parameters())
    channel = channel_with(connection, queue)
    channel.basic_qos(prefetch_count=PREFETCH)

    def handle(channel, method, properties, body):
        delivered_ns = time.monotonic_ns()
        result = analyse(body)
        own_ns = time.monotonic_ns() - delivered_ns
        if properties.reply_to:
            # To the default exchange, by the name of the queue for replies, with the envelope as it came.
            reply = pika.BasicProperties(correlation_id=properties.correlation_id, headers={"own_ns": own_ns})
            channel.basic_publish("", properties.reply_to, str(result).encode(), reply)
        channel.basic_ack(method.delivery_tag)
        if log:
            print(*identity(properties.correlation_id), own_ns, file=log)

    # It returns when the queue is deleted.
    channel.basic_consume(queue, handle)
    channel.start_consuming()
    connection.close()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with open(sys.argv[2] if len(sys.argv) == 3 else os.devnull, "w", encoding="utf-8") as log:
        main(sys.argv[1], log)
