//! HTTP/1.1 (RFC 9112) as far as a realtime server needs it: request heads, bodies, answers and
//! the WebSocket handshake of RFC 6455 section 4.2. Pure: bytes in, values out.
