"""client.py PORT USER PASSWORD VHOST: puts a message into a queue and takes it out again."""

import sys

import pika

port, user, password, vhost = sys.argv[1:]
try:
    link = pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", int(port), vhost, pika.PlainCredentials(user, password))
    )
except pika.exceptions.ProbableAuthenticationError:
    sys.exit(print("refused"))
channel = link.channel()
channel.queue_declare("orders")
channel.basic_publish("", "orders", b"an order")
for _, _, body in channel.consume("orders", auto_ack=True, inactivity_timeout=20):
    print("got", body)
    break
link.close()
