"""Starts servers and talks to them, from the protocol's page alone."""

from .client import Client, Refused
from .metrics import Metrics, grows
from .raw import Raw, frame
from .server import Server, StartFailed, free_port
from .waiting import eventually

__all__ = ["Client", "Metrics", "Raw", "Refused", "Server", "StartFailed", "eventually", "frame", "free_port", "grows"]
