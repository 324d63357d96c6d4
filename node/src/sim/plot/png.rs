//! Pixels as a PNG file (W3C Portable Network Graphics, third edition): true color, eight bits.

use super::drawing::Drawing;
use super::raster::{self, Pixels};

/// Pixels to a point: sharp on dense screens and in print.
const SCALE: f32 = 2.0;
/// Effort of the compression, 0 to 10.
const LEVEL: u8 = 7;
const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];
/// The filter that stores each byte's difference to the one above it.
const UP: u8 = 2;

/// The file; empty for a drawing without a size.
pub(crate) fn png(drawing: &Drawing) -> Vec<u8> {
    raster::paint(drawing, SCALE).map_or_else(Vec::new, |pixels| encode(&pixels))
}

fn encode(pixels: &Pixels) -> Vec<u8> {
    let mut header = Vec::with_capacity(13);
    header.extend(pixels.width.to_be_bytes());
    header.extend(pixels.height.to_be_bytes());
    // Eight bits a sample, red-green-blue, the only compression, the only filter method, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    let stride = pixels.width as usize * 3;
    let mut rows = Vec::with_capacity(pixels.rgb.len() + pixels.height as usize);
    let mut above = vec![0; stride];
    for row in pixels.rgb.chunks_exact(stride) {
        rows.push(UP);
        if row == above {
            // Most rows of a plot: nothing but grid lines going on.
            rows.resize(rows.len() + stride, 0);
            continue;
        }
        rows.extend(row.iter().zip(&above).map(|(a, b)| a.wrapping_sub(*b)));
        above.copy_from_slice(row);
    }
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&rows, LEVEL);
    let mut file = SIGNATURE.to_vec();
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"IDAT", &packed);
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend(data);
    let sum = crc32(&file[start..]);
    file.extend(sum.to_be_bytes());
}

/// CRC-32 as in ISO 3309: each bit shifted out of the sum brings the polynomial in.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
    }

    /// Chunks, checksums and rows, read back by the rules.
    #[test]
    fn a_file_gives_its_pixels_back() {
        let (width, height) = (5u32, 4u32);
        let mut rgb: Vec<u8> = (0..width * height * 3)
            .map(|n| (n * 37 % 251) as u8)
            .collect();
        // Two rows alike.
        rgb.copy_within(15..30, 30);
        let file = encode(&Pixels {
            width,
            height,
            rgb: rgb.clone(),
        });
        assert_eq!(file[..8], SIGNATURE);
        let (mut at, mut kinds, mut rows) = (8, Vec::new(), Vec::new());
        while at < file.len() {
            let word = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
            let length = word(at) as usize;
            let body = &file[at + 4..at + 8 + length];
            assert_eq!(word(at + 8 + length), crc32(body));
            kinds.push(String::from_utf8(body[..4].to_vec()).unwrap());
            match &body[..4] {
                b"IHDR" => assert_eq!(body[4..], [0, 0, 0, 5, 0, 0, 0, 4, 8, 2, 0, 0, 0]),
                b"IDAT" => {
                    rows = miniz_oxide::inflate::decompress_to_vec_zlib(&body[4..]).unwrap();
                }
                _ => {}
            }
            at += 12 + length;
        }
        assert_eq!(kinds, ["IHDR", "IDAT", "IEND"]);
        let mut found: Vec<u8> = Vec::new();
        for (n, row) in rows.chunks_exact(1 + 15).enumerate() {
            assert_eq!(row[0], UP);
            for (m, byte) in row[1..].iter().enumerate() {
                let above = if n == 0 { 0 } else { found[(n - 1) * 15 + m] };
                found.push(byte.wrapping_add(above));
            }
        }
        assert_eq!(found, rgb);
    }
}
