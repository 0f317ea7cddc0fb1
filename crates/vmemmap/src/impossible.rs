//! Places and descriptors of an array that are not valid. Each stands beside the nearest valid one, which proves that
//! it fails to compile for the named reason alone.

/// The text of a program with an array at a place.
macro_rules! program {
    ($start:literal, $bytes:literal) => {
        concat!(
            "use sparsemem_core::{ArrayPlace, PlaceClaim};\n",
            "use sparsemem_section::ConstNew;\n",
            "use sparsemem_vmemmap::{ArrayBase, ConstBase};\n",
            "struct Place;\n",
            "unsafe impl ArrayPlace for Place {\n",
            "const START: u64 = ",
            $start,
            ";\nconst BYTES: u64 = ",
            $bytes,
            ";\nfn claim() -> &'static PlaceClaim { static CLAIM: PlaceClaim = PlaceClaim::new(); &CLAIM }\n}\n",
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

border! {
    /// Nor does it end after the address space by its length alone.
    Length: ("0x20_0000", "0xffff_ffff_ffc0_0000") ("0x20_0000", "0xffff_ffff_ffe0_0000")
}

/// The text of a program that populates an array of descriptors with an alignment.
macro_rules! aligned {
    ($align:literal) => {
        concat!(
            "use core::{alloc::Layout, ptr::NonNull};
use sparsemem_core::{presets::Tiny, *};
use sparsemem_vmemmap::{DynamicBase, FlatVmemmap};

struct Env;
unsafe impl PhysMap for Env {
    fn phys_to_virt(&self, _at: PhysAddr) -> NonNull<u8> { unimplemented!() }
    fn virt_to_phys(&self, _at: NonNull<u8>) -> Option<PhysAddr> { None }
}
unsafe impl MetadataMemory for Env {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        Err(OutOfMemory::new(layout, node))
    }
    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        Err(Rejected { error: block.foreign(), returned: block })
    }
}
unsafe impl AddressSpace for Env {
    fn root(&self) -> PhysAddr { unimplemented!() }
    fn depth(&self) -> PagingDepth { PagingDepth::Four }
    fn flush(&mut self, _range: VirtRange) {}
}

#[repr(C, align(",
            $align,
            "))]
struct Aligned(u64);
unsafe impl PageDescriptor for Aligned { unsafe fn initialise(&self, _: Pfn, _: SectionNr) {} }

let model = FlatVmemmap::<Tiny, Aligned, NeverReclaim, DynamicBase, 8>::new();
let frames = PfnRange::new(Pfn::new(0), Pfn::new(Tiny::PAGES_PER_SUBSECTION)).unwrap();
// There is no memory for a usage, so the model does not reach the call for its page tables.
assert!(model.write().unwrap().install(&mut Env, frames, NodeId::new(0)).is_err());
"
        )
    };
}

/// The array begins on a 2 MiB border, so its descriptors are not aligned to more.
///
#[doc = concat!("```\n", aligned!("0x20_0000"), "```\n")]
///
#[doc = concat!("```compile_fail\n", aligned!("0x40_0000"), "```\n")]
struct Alignment;
