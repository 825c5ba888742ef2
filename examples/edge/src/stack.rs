//! How much stack a piece of work takes: what lies below is painted, and afterwards it is looked at how far down the
//! paint is gone.

use cortex_m::register::msp;

const PAINT: u32 = 0xCCCC_CCCC;

unsafe extern "C" {
    /// Where the stack starts and what it may grow down to, from the linker script. Places, no values.
    safe static _stack_start: u32;
    safe static _stack_end: u32;
}

/// The bytes there are for the stack: all of the RAM that nothing else has.
pub fn available() -> usize {
    (&raw const _stack_start).addr() - (&raw const _stack_end).addr()
}

/// The bytes in use at this place.
pub fn now() -> usize {
    (&raw const _stack_start).addr() - msp::read() as usize
}

/// Runs `work`; returns what it returns, and the bytes of stack that it took below this function's own.
#[inline(never)]
pub fn of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (bottom, top) = (&raw const _stack_end as *mut u32, msp::read() as usize);
    let words = (top - bottom.addr()) / 4;
    for i in 0..words {
        // SAFETY: from `bottom` to the stack pointer is RAM, aligned, that the linker script gives to the stack and nobody
        // uses: no frame lies below the pointer, and there are no interrupt handlers.
        unsafe { bottom.add(i).write_volatile(PAINT) };
    }
    let result = call(work);
    // SAFETY: the same words, and they were written above.
    let unused = (0..words).take_while(|&i| unsafe { bottom.add(i).read_volatile() } == PAINT).count();
    (result, (words - unused) * 4)
}

/// A frame of its own for `work`: what is inlined into [`of`] would stand above the paint.
#[inline(never)]
fn call<T>(work: impl FnOnce() -> T) -> T {
    work()
}
