"""The shop's pages and its API.

GET  /                the products, for people
GET  /products        the same as JSON; "cached" says where they come from
POST /orders          {"customer": "…", "lines": {"<product id>": <count>}}: 202 with the order's id
GET  /orders/<id>     an order with its status: placed, accepted, refused
GET  /health          200 when the database, the cache and the queue answer
"""

import html
import json
import os
import signal
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import links
import psycopg2

MAX_BODY = 64 << 10
CACHE_SECONDS = 60


def products() -> tuple[list[dict[str, object]], bool]:
    """What is sold, and whether it came from the cache."""
    cache = links.cache()
    kept = cache.get("products")
    if kept:
        return json.loads(kept), True
    database = links.database()
    try:
        with database, database.cursor() as cursor:
            cursor.execute("select id, name, cents, stock from product order by id")
            found = [dict(zip(("id", "name", "cents", "stock"), row, strict=True)) for row in cursor]
    finally:
        database.close()
    cache.set("products", json.dumps(found), ex=CACHE_SECONDS)
    return found, False


def place(order: dict[str, object]) -> str:
    """Write an order down and hand it to the worker; its id. Raises ValueError for what is no order."""
    customer, lines = order.get("customer"), order.get("lines")
    if not isinstance(customer, str) or not customer or not isinstance(lines, dict) or not lines:
        raise ValueError("an order needs a customer and lines")
    made = str(uuid.uuid4())
    database = links.database()
    try:
        with database, database.cursor() as cursor:
            cursor.execute('insert into "order" (id, customer) values (%s, %s)', (made, customer))
            for product, count in lines.items():
                cursor.execute("insert into line values (%s, %s, %s)", (made, int(product), int(count)))
    except psycopg2.IntegrityError as error:
        raise ValueError(str(error).splitlines()[0]) from None
    finally:
        database.close()
    links.queue().xadd(links.ORDERS, {"order": made})
    return made


def order(made: str) -> dict[str, object] | None:
    """One order."""
    database = links.database()
    try:
        with database, database.cursor() as cursor:
            cursor.execute('select customer, status, cents from "order" where id = %s', (str(uuid.UUID(made)),))
            row = cursor.fetchone()
    finally:
        database.close()
    return dict(zip(("customer", "status", "cents"), row, strict=True)) if row else None


def page() -> str:
    """The products as a page."""
    rows = "".join(
        f"<tr><td>{html.escape(str(item['name']))}<td>{int(str(item['cents'])) / 100:.2f}<td>{item['stock']}"
        for item in products()[0]
    )
    return f"<!doctype html><title>Shop</title><h1>Ship's store</h1><table><tr><th>What<th>€<th>Left{rows}</table>"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        if self.path == "/":
            self.answer(200, page(), "text/html; charset=utf-8")
        elif self.path == "/products":
            found, cached = products()
            self.answer(200, {"products": found, "cached": cached})
        elif self.path == "/health":
            products()
            links.queue().ping()
            self.answer(200, {"status": "ok"})
        elif self.path.startswith("/orders/"):
            try:
                found_order = order(self.path.removeprefix("/orders/"))
            except ValueError:
                found_order = None
            self.answer(200 if found_order else 404, found_order or {"error": "no such order"})
        else:
            self.answer(404, {"error": "no such page"})

    def do_POST(self) -> None:
        if self.path != "/orders":
            self.answer(404, {"error": "no such page"})
            return
        size = int(self.headers.get("Content-Length") or 0)
        if not 0 < size <= MAX_BODY:
            self.answer(413, {"error": "an order is between 1 byte and 64 KiB"})
            return
        try:
            made = place(json.loads(self.rfile.read(size)))
        except (ValueError, AttributeError) as error:
            self.answer(400, {"error": str(error)})
            return
        self.answer(202, {"order": made})

    def answer(self, status: int, body: object, kind: str = "application/json") -> None:
        """Send one."""
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("web: open", flush=True)
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()


main()
