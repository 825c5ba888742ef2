//! CRC (temporary).
/// CRC-16/IBM-3740.
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut c = Crc16::new();
    c.update(bytes);
    c.finish()
}
/// Streaming.
#[derive(Clone, Debug)]
pub struct Crc16(u16);
impl Crc16 {
    /// New.
    pub const fn new() -> Self {
        Self(0xFFFF)
    }
    /// Update.
    pub fn update(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 ^= u16::from(b) << 8;
            for _ in 0..8 {
                self.0 = if self.0 & 0x8000 != 0 { (self.0 << 1) ^ 0x1021 } else { self.0 << 1 };
            }
        }
    }
    /// Finish.
    pub const fn finish(&self) -> u16 {
        self.0
    }
}
