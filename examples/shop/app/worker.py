"""Takes orders from the queue: takes what is ordered from the stock, or refuses."""

import signal
import sys
import uuid

import links
import psycopg2

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
    """Until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    channel = links.queue().channel()
    channel.queue_declare(links.ORDERS, durable=True)
    channel.basic_qos(prefetch_count=1)
    print("worker: waiting for orders", flush=True)
    for method, _, body in channel.consume(links.ORDERS):
        order = str(uuid.UUID(body.decode()))
        print(f"worker: order {order}: {handle(order)}", flush=True)
        channel.basic_ack(method.delivery_tag)


main()
