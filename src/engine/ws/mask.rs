//! The mask of a client's payload: four bytes, over and over (RFC 6455, 5.3).

/// Applies the mask in place and returns it turned, ready for the payload's next bytes. Applying
/// it twice gives back what was there.
pub(super) fn apply(payload: &mut [u8], mask: [u8; 4]) -> [u8; 4] {
    if mask == [0; 4] {
        return mask;
    }
    let word = u64::from(u32::from_ne_bytes(mask));
    let word = word << 32 | word;
    let (words, rest) = payload.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    let mut turned = mask;
    turned.rotate_left(payload.len() % 4);
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_masks_as_the_rfc_has_it() {
        let plain: Vec<u8> = (0..=40).collect();
        let mask = [1, 20, 255, 7];
        let expected: Vec<u8> = plain.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]).collect();
        for one in 0..=plain.len() {
            for two in one..=plain.len() {
                let mut bytes = plain.clone();
                let turned = apply(&mut bytes[..one], mask);
                let turned = apply(&mut bytes[one..two], turned);
                apply(&mut bytes[two..], turned);
                assert_eq!(bytes, expected, "{one} {two}");
            }
        }
    }
}
