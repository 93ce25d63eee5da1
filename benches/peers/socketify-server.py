"""usage: socketify-server.py echo|fanout|idle|connect PORT

All but fanout send back what comes; fanout publishes what comes at /pub to all connections at other
paths, unparsed.
"""
import sys

from socketify import App, CompressOptions

mode, port = sys.argv[1], int(sys.argv[2])


def on_open(ws):
    if mode == "fanout":
        ws.subscribe("all")


def on_message(ws, message, opcode):
    if mode == "fanout":
        app.publish("all", message, opcode)
    else:
        ws.send(message, opcode)


app = App()
behaviour = {
    "compression": CompressOptions.DISABLED,
    "idle_timeout": 960,
    "max_backpressure": 64 * 1024 * 1024,
    "message": on_message,
}
app.ws("/pub", behaviour)
app.ws("/*", {**behaviour, "open": on_open})
app.listen({"host": "127.0.0.1", "port": port}, lambda _: None)
app.run()
