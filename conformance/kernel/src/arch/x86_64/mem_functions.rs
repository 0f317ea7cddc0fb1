//! The functions that compilers call implicitly. A host's `core` expects them in its C library.
//!
//! # Invariants
//!
//! 1. They are written in assembly: in Rust, the compiler may turn the loop of such a function into a call of it.

use core::arch::naked_asm;

/// Copies bytes between places that do not overlap.
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len_bytes: usize) -> *mut u8 {
    // Copies words first, because an emulated processor takes as long for a byte as for a word.
    naked_asm!(
        "mov rax, rdi",
        "mov rcx, rdx",
        "shr rcx, 3",
        "rep movsq",
        "mov rcx, rdx",
        "and rcx, 7",
        "rep movsb",
        "ret",
    )
}

/// Copies bytes between places that may overlap.
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len_bytes: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        "sub r8, rsi",
        "cmp r8, rdx",
        "jae {memcpy}", // `to` does not begin within the source
        "mov rax, rdi",
        "mov rcx, rdx",
        "lea rdi, [rdi + rdx - 1]",
        "lea rsi, [rsi + rdx - 1]",
        "std",
        "rep movsb",
        "cld",
        "ret",
        memcpy = sym memcpy,
    )
}

/// Fills bytes.
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len_bytes: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        "movzx eax, sil",
        "mov rcx, 0x0101010101010101",
        "imul rax, rcx",
        "mov rcx, rdx",
        "shr rcx, 3",
        "rep stosq",
        "mov rcx, rdx",
        "and rcx, 7",
        "rep stosb",
        "mov rax, r8",
        "ret",
    )
}

/// Compares bytes.
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len_bytes: usize) -> i32 {
    naked_asm!(
        "xor eax, eax",
        "xor ecx, ecx",
        "2:",
        "cmp rcx, rdx",
        "je 3f",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx r8d, byte ptr [rsi + rcx]",
        "inc rcx",
        "sub eax, r8d",
        "je 2b",
        "3:",
        "ret",
    )
}

/// Compares bytes, and returns whether they differ.
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len_bytes: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// The length of a C string.
///
/// # Safety
///
/// As in C.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const u8) -> usize {
    naked_asm!("xor eax, eax", "2:", "cmp byte ptr [rdi + rax], 0", "je 3f", "inc rax", "jmp 2b", "3:", "ret",)
}

/// Landing pads of a host's `alloc`, which was built for unwinding, name this symbol. This kernel aborts, so it is
/// never called.
#[cfg(not(target_os = "none"))]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    naked_asm!("ud2")
}

/// As above.
#[cfg(not(target_os = "none"))]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {
    naked_asm!("ud2")
}
