//! The JSON envelopes of hydrogen-protocol: strict reading, and writing.
