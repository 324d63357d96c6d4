//! Numbers and byte arrays, read and written without serde: byte for byte what postcard makes of them, at a fraction of its price
//! where a message is mostly arrays.

use super::codec::DecodeError;

/// What is left of a body. Takes only the one canonical spelling of each value.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    /// A byte.
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.0.split_first().ok_or(DecodeError::Body)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// `N` bytes as they are.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(DecodeError::Body)?;
        self.0 = rest;
        Ok(*array)
    }

    /// A number of at most 64 bits: 7 bits a byte, lowest first, the top bit set on all but the last byte.
    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Body);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // The shortest spelling has no empty byte at its end.
                return if byte == 0 && shift > 0 {
                    Err(DecodeError::NotCanonical)
                } else {
                    Ok(number)
                };
            }
        }
        Err(DecodeError::Body)
    }

    /// A number of at most 32 bits.
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.u64()?).map_err(|_| DecodeError::Body)
    }

    /// A number of at most 16 bits.
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        u16::try_from(self.u64()?).map_err(|_| DecodeError::Body)
    }

    /// Whether there is a value.
    pub(super) fn is_some(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Body),
        }
    }

    /// That this was all.
    pub(super) fn end(self) -> Result<(), DecodeError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

/// Writes a number in its shortest spelling.
pub(super) fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_those_of_postcard(number: u64, shift in 0u32..64) {
            let number = number >> shift;
            let mut out = Vec::new();
            put(number, &mut out);
            prop_assert_eq!(&out, &postcard::to_allocvec(&number).unwrap());
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.u64(), Ok(number));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        /// What is taken is what postcard takes, less the spellings that it would not write.
        #[test]
        fn any_bytes_are_judged_as_by_postcard(
            bytes in prop::collection::vec(prop::sample::select(&[0u8, 1, 2, 0x7f, 0x80, 0x81, 0xff][..]), 0..12),
        ) {
            macro_rules! same {
                ($type:ident) => {
                    let expected = postcard::take_from_bytes::<$type>(&bytes)
                        .ok()
                        .filter(|(number, rest)| bytes.len() - rest.len() == postcard::to_allocvec(number).unwrap().len());
                    let mut reader = Reader(&bytes);
                    let read = reader.$type().ok().map(|number| (number, reader.0));
                    prop_assert_eq!(read, expected);
                };
            }
            same!(u64);
            same!(u32);
            same!(u16);
        }
    }
}
