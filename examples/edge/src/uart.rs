//! The board's first serial port: a PL011, polled. As it comes out of reset it is not enabled; what it is set to here is all
//! that QEMU's needs (there is no line whose rate matters).

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};

/// Registers of UART0 (LM3S6965 data sheet, "Universal Asynchronous Receivers/Transmitters").
const DATA: *mut u32 = 0x4000_C000 as *mut u32;
const FLAGS: *mut u32 = 0x4000_C018 as *mut u32;
const CONTROL: *mut u32 = 0x4000_C030 as *mut u32;
/// Bits of FLAGS.
const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;
/// Bits of CONTROL: on, sends, receives.
const ENABLE: u32 = 1 | 1 << 8 | 1 << 9;
/// So many looks at an empty receiver are an idle line.
const IDLE: u32 = 1 << 20;

/// The port, switched on.
pub struct Uart(());

impl Uart {
    pub fn enable() -> Self {
        // SAFETY: a register of the board's UART0, aligned. It is no memory: what it does to the port breaks nobody's borrows.
        unsafe { CONTROL.write_volatile(ENABLE) };
        Self(())
    }

    fn flag(&self, bit: u32) -> bool {
        // SAFETY: as above, and reading it changes nothing.
        (unsafe { FLAGS.read_volatile() }) & bit != 0
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    /// Waits for a byte, and takes what has come with it; 0 bytes where the line stays idle.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let mut looks = 0;
        while self.flag(RECEIVE_EMPTY) {
            looks += 1;
            if looks == IDLE {
                return Ok(0);
            }
        }
        let mut taken = 0;
        for byte in buf {
            if self.flag(RECEIVE_EMPTY) {
                break;
            }
            // SAFETY: as above; reading it takes the byte that is there.
            *byte = unsafe { DATA.read_volatile() } as u8;
            taken += 1;
        }
        Ok(taken)
    }
}

impl Write for Uart {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        for &byte in buf {
            while self.flag(TRANSMIT_FULL) {}
            // SAFETY: as above; writing it sends the byte.
            unsafe { DATA.write_volatile(u32::from(byte)) };
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
