//! Joins fields so that no two different lists of fields give the same bytes.

/// The domain, then each part, each preceded by its length as eight bytes, most significant first.
pub(super) fn frame(domain: &str, parts: &[&[u8]]) -> Vec<u8> {
    let length = 8 + domain.len() + parts.iter().map(|part| 8 + part.len()).sum::<usize>();
    let mut framed = Vec::with_capacity(length);
    for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
        framed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        framed.extend_from_slice(part);
    }
    framed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_preceded_by_its_length_and_the_buffer_never_grows() {
        let framed = frame("ab", &[b"", b"cde"]);
        assert_eq!(framed, b"\0\0\0\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03cde");
        // A buffer that grows leaves a part of what it held behind, and that may be a secret.
        assert_eq!(framed.capacity(), framed.len());
    }
}
