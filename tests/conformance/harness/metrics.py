"""Reads the Prometheus text of /metrics."""

import contextlib
import re

from .waiting import eventually

LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                found = LINE.match(line)
                assert found, f"no sample: {line!r}"
                self.samples.append((found[1], dict(LABEL.findall(found[2] or "")), float(found[3])))

    def value(self, name, **labels):
        """The sum of the samples with this name (without `hydrogen_`) and these labels."""
        return sum(
            value
            for full, found, value in self.samples
            if full == f"hydrogen_{name}" and all(found.get(key) == want for key, want in labels.items())
        )

    def by(self, name, label):
        return {found[label]: value for full, found, value in self.samples if full == f"hydrogen_{name}"}


@contextlib.asynccontextmanager
async def grows(server, name, by=1, timeout=5.0, exact=True, **labels):
    """Whatever happens inside is counted: the metric grows by `by`, and (unless not exact) by no more."""
    before = server.metrics().value(name, **labels)
    yield
    grown = 0

    def enough():
        nonlocal grown
        grown = server.metrics().value(name, **labels) - before
        return grown >= by

    await eventually(enough, timeout, what=f"{name} {labels} grows by {by}")
    assert not exact or grown == by, f"{name} {labels} grew by {grown}, expected {by}"
