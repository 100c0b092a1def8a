"""Connections to the other services, by the environment."""

import os
from pathlib import Path

import psycopg2
import redis

ORDERS, WORKERS = "orders", "workers"
"""The stream of orders, and the group of those who take from it."""


def password() -> str:
    """The one that the services share."""
    return Path(os.environ["PASSWORD_FILE"]).read_text().strip()


def database() -> "psycopg2.extensions.connection":
    """A connection whose `with` is a transaction."""
    return psycopg2.connect(os.environ["DATABASE"], password=password())


def cache() -> redis.Redis:
    """What may be forgotten."""
    return redis.Redis.from_url(os.environ["CACHE"], decode_responses=True)


def queue() -> redis.Redis:
    """What may not: its server writes each order down."""
    return redis.Redis.from_url(os.environ["QUEUE"], decode_responses=True)
