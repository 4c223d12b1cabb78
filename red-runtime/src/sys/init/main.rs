//! `red-init`, the first process of a container that we launch ourselves, as a program of its own: no C
//! library, no relocations, one page. `build.rs` compiles it, and red-runtime carries it in itself.
//!
//! What it does is in `life.rs`.

#![no_std]
#![no_main]
// Loops stay loops: those below would otherwise become calls of themselves.
#![no_builtins]

mod kernel;
mod life;
#[path = "arch.rs"]
mod raw;

use core::ffi::{c_char, c_int};

/// The first Rust code, on the stack that the kernel made: the number of arguments, pointers to them and a null
/// pointer, pointers to the environment and a null pointer (execve(2), and the psABI of the architecture).
///
/// # Safety
/// Only `_start` calls it.
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: so the kernel made the stack, and nothing has changed it.
    unsafe {
        let argc = *stack;
        let argv = stack.add(1).cast::<*const c_char>();
        life::run(argc, argv, argv.add(argc + 1))
    }
}

/// Compilers may call it for any value that is set to zero.
///
/// # Safety
/// As of memset(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(place: *mut u8, byte: c_int, length: usize) -> *mut u8 {
    // SAFETY: the caller says that so many bytes are there.
    (0..length).for_each(|at| unsafe { place.add(at).write(byte as u8) });
    place
}

/// Compilers may call it for any value that is copied.
///
/// # Safety
/// As of memcpy(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(place: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller says that so many bytes are there, at both.
    (0..length).for_each(|at| unsafe { place.add(at).write(from.add(at).read()) });
    place
}

/// Nothing here panics; the language asks for it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    kernel::exit(255)
}
