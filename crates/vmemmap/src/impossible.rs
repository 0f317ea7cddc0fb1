//! Places of an array that cannot be, each beside its nearest neighbour that can: so that it is known to fail for the one
//! reason that is named.

/// The text of a program with an array at a place.
macro_rules! program {
    ($start:literal, $bytes:literal) => {
        concat!(
            "use sparsemem_core::{ArrayPlace, primitive::AtomicBool};\n",
            "use sparsemem_section::ConstNew;\n",
            "use sparsemem_vmemmap::{ArrayBase, ConstBase};\n",
            "struct Place;\n",
            "unsafe impl ArrayPlace for Place {\n",
            "const START: u64 = ",
            $start,
            ";\nconst BYTES: u64 = ",
            $bytes,
            ";\nfn claim() -> &'static AtomicBool { static CLAIM: AtomicBool = AtomicBool::new(false); &CLAIM }\n}\n",
            "let _ = <ConstBase<Place> as ConstNew>::NEW.start();\n"
        )
    };
}

/// A test that compiles, and one that does not.
macro_rules! border {
    ($(#[$why:meta])* $name:ident: ($($possible:literal),*) ($($impossible:literal),*)) => {
        $(#[$why])*
        ///
        #[doc = concat!("```\n", program!($($possible),*), "```\n")]
        ///
        #[doc = concat!("```compile_fail\n", program!($($impossible),*), "```\n")]
        struct $name;
    };
}

border! {
    /// The array begins on a 2 MiB border.
    Start: ("0xffff_ea00_0020_0000", "0x20_0000") ("0xffff_ea00_0010_0000", "0x20_0000")
}

border! {
    /// The array ends on a 2 MiB border.
    Bytes: ("0xffff_ea00_0000_0000", "0x40_0000") ("0xffff_ea00_0000_0000", "0x30_0000")
}

border! {
    /// The array does not begin at the null address.
    Null: ("0x20_0000", "0x20_0000") ("0", "0x20_0000")
}

border! {
    /// The array ends within the address space.
    End: ("0xffff_ffff_ffc0_0000", "0x20_0000") ("0xffff_ffff_ffc0_0000", "0x40_0000")
}
