//! The client's side of frames, for the command line tools, the simulator and tests.

use tungstenite::protocol::frame::FrameHeader;

use super::{OpCode, mask};

/// Appends one masked frame to `out`. It takes any opcode and length, so that a test can break
/// the rules with it.
pub fn masked_frame(opcode: OpCode, fin: bool, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    let header = FrameHeader { is_final: fin, opcode, mask: Some(mask), ..FrameHeader::default() };
    let length = payload.len() as u64;
    out.reserve(header.len(length) + payload.len());
    // Writing to a Vec cannot fail.
    let _ = header.format(length, &mut *out);
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[start..], mask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ws::Data;

    #[test]
    fn the_rfcs_example_is_reproduced() {
        // RFC 6455, 5.7: a single-frame masked text message.
        let mut out = Vec::new();
        masked_frame(OpCode::Data(Data::Text), true, b"Hello", [0x37, 0xfa, 0x21, 0x3d], &mut out);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}
