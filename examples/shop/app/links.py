"""Connections to the other services, by the environment."""

import os
import urllib.parse
from pathlib import Path

import pika
import psycopg2
import redis

ORDERS = "orders"


def password() -> str:
    """The one that the services share."""
    return Path(os.environ["PASSWORD_FILE"]).read_text().strip()


def database() -> "psycopg2.extensions.connection":
    """A connection whose `with` is a transaction."""
    return psycopg2.connect(os.environ["DATABASE"], password=password())


def cache() -> redis.Redis:
    """The cache."""
    return redis.Redis.from_url(os.environ["CACHE"], decode_responses=True)


def queue() -> pika.BlockingConnection:
    """The broker."""
    url = urllib.parse.urlsplit(os.environ["QUEUE"])
    login = pika.PlainCredentials(url.username or "", password())
    return pika.BlockingConnection(pika.ConnectionParameters(url.hostname, url.port, "/", login))
