//! Unguessable text, for throw-away names, passwords and canaries.

use crate::error::Error;

/// `2 × bytes` lower-case hexadecimal digits.
pub fn hex(bytes: usize) -> Result<String, Error> {
    let mut buffer = vec![0_u8; bytes];
    aws_lc_rs::rand::fill(&mut buffer).map_err(|_| Error::fault("the system has no random numbers"))?;
    Ok(encode(&buffer))
}

/// Lower-case hexadecimal.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}
