"""Takes orders from the queue: takes what is ordered from the stock, or refuses."""

import contextlib
import os
import signal
import uuid

import links
import psycopg2
import redis

PRICE = 'select sum(l.count * p.cents) from line l join product p on p.id = l.product where l."order" = %s'
TAKE = 'update product p set stock = stock - l.count from line l where l.product = p.id and l."order" = %s'


def handle(order: str) -> str:
    """Decide one order, once however often it is delivered; its status."""
    database = links.database()
    try:
        with database, database.cursor() as cursor:
            cursor.execute('select status from "order" where id = %s for update', (order,))
            found = cursor.fetchone()
            if found is None or found[0] != "placed":
                return "known" if found else "missing"
            cursor.execute("savepoint before")
            try:
                cursor.execute(TAKE, (order,))
                status = "accepted"
            except psycopg2.errors.CheckViolation:
                cursor.execute("rollback to before")
                status = "refused"
            cursor.execute(f'update "order" set status = %s, cents = ({PRICE}) where id = %s', (status, order, order))
    finally:
        database.close()
    links.cache().delete("products")
    return status


def main() -> None:
    """Until SIGTERM; first what was taken before and not finished, then what comes."""
    # At once: an order that is half done is rolled back, and taken again by the next one.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    queue, after = links.queue(), "0"
    with contextlib.suppress(redis.ResponseError):  # the group is there already
        queue.xgroup_create(links.ORDERS, links.WORKERS, id="0", mkstream=True)
    print("worker: waiting for orders", flush=True)
    while True:
        found = queue.xreadgroup(links.WORKERS, "worker", {links.ORDERS: after}, count=1, block=0)
        entries = found[0][1] if found else []
        if not entries:
            after = ">"
        for entry, fields in entries:
            order = str(uuid.UUID(fields["order"]))
            print(f"worker: order {order}: {handle(order)}", flush=True)
            queue.xack(links.ORDERS, links.WORKERS, entry)


main()
