"""A socket with nothing between it and the server, for what no client library would send."""

import asyncio
import base64
import os
import re
import socket
import struct
from collections import namedtuple

Answer = namedtuple("Answer", "status headers body version")
Frame = namedtuple("Frame", "fin rsv opcode payload")

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=True, length_form=None, declare=None):
    """One frame, well-formed or not. `length_form` is 7, 16 or 64; `declare` lies about the length."""
    if isinstance(payload, str):
        payload = payload.encode()
    length = len(payload) if declare is None else declare
    form = length_form or (7 if length < 126 else 16 if length < 65536 else 64)
    bit = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if form == 7:
        head += bytes([bit | length])
    elif form == 16:
        head += bytes([bit | 126]) + struct.pack(">H", length)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", length)
    if not mask:
        return head + payload
    key = os.urandom(4)
    spread = int.from_bytes(payload, "little") ^ int.from_bytes((key * (len(payload) // 4 + 1))[: len(payload)], "little")
    return head + key + spread.to_bytes(len(payload), "little")


def close_payload(code, reason=b""):
    return struct.pack(">H", code) + reason


class Raw:
    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    @classmethod
    async def open(cls, server, receive_buffer=None):
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, (server.host, server.port)), 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    @classmethod
    async def websocket(cls, server, token=None, *, protocols="hydrogen-protocol", path="/", receive_buffer=None):
        """Opened and upgraded."""
        raw = await cls.open(server, receive_buffer)
        answer = await raw.upgrade(server, token, protocols=protocols, path=path)
        assert answer.status == 101, answer
        return raw

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.sock.close()

    def reset(self):
        """Closes with RST in place of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    async def send(self, data, timeout=5):
        if isinstance(data, str):
            data = data.encode()
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.sock, data), timeout)

    async def more(self, timeout=5):
        """Reads once; false at the end of the stream, also if that is a reset."""
        try:
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.sock, 1 << 18), timeout)
        except ConnectionError:
            return False
        self.buffer += data
        return bool(data)

    async def take(self, count, timeout=5):
        while len(self.buffer) < count:
            if not await self.more(timeout):
                raise EOFError(self.buffer)
        out, self.buffer = self.buffer[:count], self.buffer[count:]
        return out

    async def until(self, mark, timeout=5):
        while mark not in self.buffer:
            if not await self.more(timeout):
                raise EOFError(self.buffer)
        return await self.take(self.buffer.index(mark) + len(mark))

    async def ended(self, timeout=5):
        """Reads to the end of the stream, and gives what came."""
        while await self.more(timeout):
            pass
        out, self.buffer = self.buffer, b""
        return out

    # -- HTTP

    def upgrade_request(self, server, token=None, *, protocols="hydrogen-protocol", path="/", version="13", key=None, extra=""):
        key = base64.b64encode(os.urandom(16)).decode() if key is None else key
        return (
            f"GET {path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: {version}\r\n"
            + (f"Sec-WebSocket-Protocol: {protocols}\r\n" if protocols else "")
            + (f"Authorization: Key {token}\r\n" if token else "")
            + extra
            + "\r\n"
        )

    async def upgrade(self, server, token=None, **kwargs):
        await self.send(self.upgrade_request(server, token, **kwargs))
        return await self.answer()

    async def request(self, text, **kwargs):
        await self.send(text)
        return await self.answer(**kwargs)

    async def answer(self, timeout=5, head_only=False):
        """One HTTP answer; the body by its length, its chunks, or the end of the stream."""
        head = (await self.until(b"\r\n\r\n", timeout)).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        found = re.fullmatch(r"HTTP/(1\.[01]) (\d{3}) ?(.*)", first)
        assert found, first
        headers = {}
        for line in lines:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        status = int(found[2])
        if head_only or status in (204, 304) or status < 200:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await self.until(b"\r\n")).split(b";")[0], 16):
                body += (await self.take(size + 2))[:-2]
            await self.until(b"\r\n")
        elif "content-length" in headers:
            body = await self.take(int(headers["content-length"]))
        else:
            body = await self.ended()
        return Answer(status, headers, body, found[1])

    # -- WebSocket

    async def text(self, text):
        await self.send(frame(TEXT, text))

    async def frame(self, timeout=5):
        first, second = await self.take(2, timeout)
        assert not second & 0x80, "a server's frame is never masked"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", await self.take(2, timeout))
            assert length >= 126, "length not minimal"
        elif length == 127:
            (length,) = struct.unpack(">Q", await self.take(8, timeout))
            assert length >= 65536, "length not minimal"
        payload = await self.take(length, timeout)
        return Frame(bool(first & 0x80), first >> 4 & 7, first & 0xF, payload)

    async def close_frame(self, timeout=5):
        """Reads up to the server's close frame: (code, reason); (None, "") if it has none."""
        while True:
            found = await self.frame(timeout)
            if found.opcode == CLOSE:
                if not found.payload:
                    return None, ""
                return struct.unpack(">H", found.payload[:2])[0], found.payload[2:].decode()

    async def text_frame(self, timeout=5):
        """The next text message, whatever control frames come before."""
        while True:
            found = await self.frame(timeout)
            if found.opcode == TEXT:
                return found.payload.decode()
