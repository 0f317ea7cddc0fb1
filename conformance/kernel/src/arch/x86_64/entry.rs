//! The first instructions: from the state that a PVH loader leaves to 64-bit Rust.
//!
//! The loader enters in 32-bit protected mode without paging; EBX holds the physical address of the start info. Here
//! the processor gets page tables, long mode, SSE and a stack.
//!
//! # Invariants
//!
//! 1. The first 4 GiB of physical memory are mapped twice, by 2 MiB pages of the same tables: at their own addresses,
//!    where the image runs, and from [`DIRECT_MAP`](super::DIRECT_MAP).
//! 2. The tables have five levels if the processor supports that, otherwise four. With five, the two places have
//!    separate tables on the fourth level, so that high mappings do not appear at low addresses too.
//! 3. The page below the stack is mapped nowhere: a full stack faults before it overwrites anything. Because of this
//!    page, the 2 MiB around it are mapped by base pages.
//!
//! Source: the PVH boot protocol of Xen (`start_info.h`), Intel SDM volume 3, 4.5 and 9.8.5.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .note.Xen, "a", @note
    .align 4
    .long 4, 4, 18                    /* sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long pvh_entry

    .section .boot, "ax", @progbits
    .code32
    .globl pvh_entry
pvh_entry:
    cli
    cld
    mov esp, offset boot_stack_top
    mov ebp, ebx

    /* Four tables of 512 pages of 2 MiB: present, writable, large. */
    mov edi, offset boot_pd
    mov eax, 0x83
    mov ecx, 2048
2:  mov dword ptr [edi], eax
    add eax, 0x200000
    add edi, 8
    dec ecx
    jnz 2b

    /* The 2 MiB with the guard as 512 pages of 4 KiB, all but the guard: present, writable. */
    mov edi, offset boot_pt
    mov eax, offset boot_guard
    and eax, 0xFFE00000
    or eax, 3
    mov ecx, 512
7:  mov dword ptr [edi], eax
    add eax, 4096
    add edi, 8
    dec ecx
    jnz 7b
    mov eax, offset boot_guard
    shr eax, 12
    and eax, 511
    mov dword ptr [eax * 8 + boot_pt], 0
    mov eax, offset boot_guard
    shr eax, 21
    mov edx, offset boot_pt
    or edx, 3
    mov dword ptr [eax * 8 + boot_pd], edx

    mov eax, offset boot_pd
    or eax, 3
    mov edi, offset boot_pdpt
    mov ecx, 4
3:  mov dword ptr [edi], eax
    add eax, 4096
    add edi, 8
    dec ecx
    jnz 3b

    mov eax, cr4
    or eax, 0x620                     /* PAE, OSFXSR, OSXMMEXCPT */
    mov cr4, eax

    mov esi, offset boot_pdpt
    or esi, 3
    mov eax, 0
    cpuid
    cmp eax, 7
    jb 4f
    mov eax, 7
    mov ecx, 0
    cpuid
    test ecx, 0x10000                 /* LA57 */
    jz 4f

    mov eax, cr4
    or eax, 0x1000
    mov cr4, eax
    mov dword ptr [boot_low], esi
    mov dword ptr [boot_high + {direct_map} * 8], esi
    mov eax, offset boot_low
    or eax, 3
    mov dword ptr [boot_root], eax
    mov eax, offset boot_high
    or eax, 3
    mov dword ptr [boot_root + 511 * 8], eax
    jmp 5f

4:  mov dword ptr [boot_root], esi
    mov dword ptr [boot_root + {direct_map} * 8], esi

5:  mov eax, offset boot_root
    mov cr3, eax
    mov ecx, 0xC0000080
    rdmsr
    or eax, 0x900                     /* LME, NXE */
    wrmsr
    mov eax, cr0
    and eax, 0xFFFFFFFB               /* EM off: SSE must not trap */
    or eax, 0x80010003                /* PG, WP, MP, PE */
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    push 8
    mov eax, offset long_mode         /* through a register: a push of the symbol would be one of 16 bits */
    push eax
    retf

    .code64
long_mode:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    lea rsp, [rip + boot_stack_top]
    mov edi, ebp
    call kernel_main
6:  hlt
    jmp 6b

    .align 8
boot_gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF          /* 64-bit code */
    .quad 0x00CF93000000FFFF          /* data */
boot_gdt_pointer:
    .word . - boot_gdt - 1
    .long boot_gdt
    .long 0

    .section .bss.boot, "aw", @nobits
    .align 4096
boot_root: .skip 4096
boot_low:  .skip 4096
boot_high: .skip 4096
boot_pdpt: .skip 4096
boot_pd:   .skip 4096 * 4
boot_pt:   .skip 4096
    .globl boot_guard
boot_guard: .skip 4096
boot_stack: .skip 0x40000
boot_stack_top:
"#,
    direct_map = const (super::DIRECT_MAP >> 39) & 511,
);
