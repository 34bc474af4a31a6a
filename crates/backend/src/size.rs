//! Sizes as people write them.

use std::fmt;

use udm_block::{LONGEST_DEVICE, SECTOR_SIZE, Sectors};

/// The size of a device, in whole blocks and at least one.
pub(crate) fn device_size(text: &str, block: u32) -> Result<Sectors, SizeError> {
    let bytes = parse_size(text)?;
    if bytes == 0 || !bytes.is_multiple_of(u64::from(block)) {
        let wrong = format!("{bytes} bytes are not a positive number of blocks of {block}");
        return Err(SizeError { wrong, hint: Some("write a multiple of the block size") });
    }
    debug_assert!(block as usize >= SECTOR_SIZE, "blocks are whole sectors");
    let size = Sectors::in_bytes(bytes);
    if size > LONGEST_DEVICE {
        let wrong = format!("a device of {text} is too long");
        return Err(SizeError { wrong, hint: Some("it can have at most 2^63 bytes (8192P)") });
    }
    Ok(size)
}

/// What is wrong with a size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SizeError {
    pub(crate) wrong: String,
    /// What would do.
    pub(crate) hint: Option<&'static str>,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.wrong)?;
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for SizeError {}

/// The bytes that `text` says: a number, and K, M, G, T or P behind it for powers of 1024 (`4096`, `64M`). The letter
/// may be small, and `iB` may follow it.
///
/// # Errors
/// Where it is no such number, or is 2^64 or more.
///
/// ```
/// assert_eq!(udm_backend::parse_size("3K"), Ok(3072));
/// ```
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let would_do = "write a number of bytes, or one with K, M, G, T or P behind it, such as 64M";
    let no_size = || SizeError { wrong: format!("\"{text}\" is not a size"), hint: Some(would_do) };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let power = match unit.strip_suffix("iB").filter(|letter| !letter.is_empty()).unwrap_or(unit) {
        "" => 0,
        "K" | "k" => 1,
        "M" | "m" => 2,
        "G" | "g" => 3,
        "T" | "t" => 4,
        "P" | "p" => 5,
        _ => return Err(no_size()),
    };
    if number.is_empty() {
        return Err(no_size());
    }
    let too_large = || {
        let wrong = format!("{text} is more than the 2^64 bytes that udm counts to");
        SizeError { wrong, hint: None }
    };
    let number: u64 = number.parse().map_err(|_| too_large())?;
    number.checked_mul(1 << (10 * power)).ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("1k", 1024), ("2M", 2 << 20), ("3GiB", 3 << 30), ("16T", 16 << 40)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "iB", "1iB", "-1", "+1", "1.5G", "1 M", "1MB", "0x10", "1MM", "٣"] {
            let error = parse_size(text).expect_err(text);
            assert!(error.to_string().contains("such as 64M"), "{error}");
        }
        for text in ["18446744073709551616", "16384P"] {
            assert!(parse_size(text).unwrap_err().to_string().contains("2^64"), "{text}");
        }
    }
}
