//! WebSocket frames (RFC 6455): a decoder that holds nothing while a connection is idle, and an
//! encoder whose frames are shared between receivers.
