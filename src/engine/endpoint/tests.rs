//! What the endpoint does, seen from outside.
