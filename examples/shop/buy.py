"""A customer of the shop: sees what is sold, orders twice, and waits until the worker has decided.

    python3 buy.py http://127.0.0.1:8080

Prints an order a line: id, status, price. The second order is for more bells than there are, and is refused.
"""

import json
import sys
import time
import urllib.request

WAIT_SECONDS = 20.0


def ask(url: str, body: object = None) -> dict:
    """What the shop answers to a GET, or to a POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=WAIT_SECONDS) as answer:
        return json.load(answer)


def buy(shop: str, lines: dict[int, int]) -> tuple[str, str, int]:
    """Order (product to count); id, status and cents once the worker has looked at it."""
    made = ask(f"{shop}/orders", {"customer": "Ada", "lines": lines})["order"]
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := ask(f"{shop}/orders/{made}"))["status"] == "placed":
        if time.monotonic() > deadline:
            sys.exit(f"buy: nobody took the order {made}")
        time.sleep(0.02)
    return made, found["status"], found["cents"]


def main() -> None:
    """Two compasses and a rope; then too many bells."""
    shop = sys.argv[1].rstrip("/")
    ids = {item["name"]: item["id"] for item in ask(f"{shop}/products")["products"]}
    for lines in ({ids["Compass"]: 2, ids["Rope, 50 m"]: 1}, {ids["Ship's bell"]: 9}):
        print(*buy(shop, lines), flush=True)


if __name__ == "__main__":
    main()
