//! CRC-32C (Castagnoli), which finds a flipped bit in a stored fact: SQLite has no checksums of its own for that.

use squall_model::ExecutionId;

const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn update(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

/// The checksum of a fact over its execution, number and text.
pub(crate) fn fact(execution: ExecutionId, seq: u64, json: &str) -> u32 {
    let crc = update(!0, &execution.0);
    let crc = update(crc, &seq.to_be_bytes());
    !update(crc, json.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_check_value() {
        assert_eq!(!update(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn every_part_counts() {
        let id = ExecutionId([7; 12]);
        let crc = fact(id, 3, "{}");
        assert_ne!(crc, fact(ExecutionId([8; 12]), 3, "{}"));
        assert_ne!(crc, fact(id, 4, "{}"));
        assert_ne!(crc, fact(id, 3, "{ }"));
    }
}
