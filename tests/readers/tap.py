#!/usr/bin/env python3
"""Takes messages out of a queue, keeps a copy of each, and puts them back.

usage: tap.py PORT USER PASSWORD_FILE QUEUE COUNT FOLDER

Each copy is a file FOLDER/N.body; FOLDER/N.json holds its properties. A client that is not streamharness's: pika.
"""

import json
import pathlib
import sys
import time

import pika

PATIENCE_S = 20


def main(port, user, password_file, queue, count, folder):
    password = pathlib.Path(password_file).read_text().strip()
    connection = pika.BlockingConnection(
        pika.ConnectionParameters(
            host="127.0.0.1",
            port=int(port),
            credentials=pika.PlainCredentials(user, password),
            blocked_connection_timeout=PATIENCE_S,
            socket_timeout=PATIENCE_S,
        )
    )
    channel = connection.channel()
    folder = pathlib.Path(folder)
    deadline = time.monotonic() + PATIENCE_S
    taken = []
    while len(taken) < int(count):
        if time.monotonic() > deadline:
            sys.exit(f"only {len(taken)} of {count} messages within {PATIENCE_S} s")
        method, properties, body = channel.basic_get(queue)
        if method is None:
            time.sleep(0.001)
            continue
        number = len(taken)
        (folder / f"{number}.body").write_bytes(body)
        kept = {"correlation_id": properties.correlation_id, "content_type": properties.content_type}
        (folder / f"{number}.json").write_text(json.dumps(kept))
        taken.append(method.delivery_tag)
    for tag in taken:
        channel.basic_nack(tag, requeue=True)
    connection.close()


main(*sys.argv[1:])
