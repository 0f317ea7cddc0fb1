//! Models that do not compile. Each stands beside the nearest model that compiles, which proves that it fails for the
//! named reason alone.

/// The beginning of every program: a domain, an environment that is never called, and a function that uses a model.
macro_rules! prelude {
    () => {
        "use core::{alloc::Layout, marker::PhantomData, ptr::NonNull};
use sparsemem_core::presets::{Arm64Page16K, Tiny, X86_64, X86_64La57};
use sparsemem_core::*;
use sparsemem_section::{Encoded, FlatTable, RootedTable, SparseModel};

struct Waits;
unsafe impl Reclaim for Waits { type Guard = (); fn enter() {} }
unsafe impl GracePeriod for Waits { fn synchronize() {} }

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

#[repr(C)]
struct Bytes<const N: usize>([u8; N]);
unsafe impl<const N: usize> PageDescriptor for Bytes<N> { unsafe fn initialise(&self, _: Pfn, _: SectionNr) {} }
unsafe impl<const N: usize> SectionStamp for Bytes<N> { fn section(&self) -> SectionNr { SectionNr::new(0) } }

type Flat<G, P, R, const N: usize> = SparseModel<FlatTable<G, P, N>, Encoded, R>;
type Rooted<G, P, R, const N: usize> = SparseModel<RootedTable<G, P, N>, Encoded, R>;
fn zeroed<T: ZeroIsNew>() -> Box<T> { unsafe { Box::new_zeroed().assume_init() } }
fn install<M: InstallModel<Env>>(model: &M) {
    let frames = PfnRange::new(Pfn::new(0), Pfn::new(M::Geometry::PAGES_PER_SUBSECTION)).unwrap();
    assert!(model.write().unwrap().install(&mut Env, frames, NodeId::new(0)).is_err());
}
fn retire<M: RetireModel<Env>>(model: &M) {
    let frames = PfnRange::new(Pfn::new(0), Pfn::new(M::Geometry::PAGES_PER_SUBSECTION)).unwrap();
    assert!(model.write().unwrap().retire(&mut Env, frames).is_err());
}
"
    };
}

/// A test that compiles, and one that does not.
macro_rules! border {
    ($(#[$why:meta])* $name:ident: $possible:literal, $impossible:literal) => {
        $(#[$why])*
        ///
        #[doc = concat!("```\n", prelude!(), $possible, "\n```\n")]
        ///
        #[doc = concat!("```compile_fail\n", prelude!(), $impossible, "\n```\n")]
        struct $name;
    };
}

border! {
    /// A flat table has an entry for every section of the geometry, when it is made by `new`.
    FlatNew:
    "let _ = FlatTable::<Tiny, Page, 8>::new();",
    "let _ = FlatTable::<Tiny, Page, 9>::new();"
}

border! {
    /// And when it is zeroed memory.
    FlatZeroed:
    "install(&*zeroed::<Flat<Tiny, Page, NeverReclaim, 8>>());",
    "install(&*zeroed::<Flat<Tiny, Page, NeverReclaim, 7>>());"
}

border! {
    /// A two-level table has a place for every root of the geometry, when it is made by `new`.
    RootedNew:
    "let _ = RootedTable::<X86_64, Page, 2048>::new();",
    "let _ = RootedTable::<X86_64, Page, 2047>::new();"
}

border! {
    /// And when it is zeroed memory.
    RootedZeroed:
    "install(&*zeroed::<Rooted<X86_64, Page, NeverReclaim, 2048>>());",
    "install(&*zeroed::<Rooted<X86_64, Page, NeverReclaim, 2049>>());"
}

border! {
    /// Eight frames of a section, and descriptors of eight bytes or a multiple, leave six bits of an encoded pointer.
    FlagBits:
    "install(&*zeroed::<Flat<Tiny, Bytes<8>, NeverReclaim, 8>>());",
    "install(&*zeroed::<Flat<Tiny, Bytes<4>, NeverReclaim, 8>>());"
}

border! {
    /// A descriptor has a size.
    NoBytes:
    "install(&*zeroed::<Flat<X86_64, Bytes<1>, NeverReclaim, { X86_64::NR_SECTIONS_LEN }>>());",
    "install(&*zeroed::<Flat<X86_64, Bytes<0>, NeverReclaim, { X86_64::NR_SECTIONS_LEN }>>());"
}

border! {
    /// The distance between two descriptors is an address: 2^40 frames of less than 2^24 bytes.
    Distances:
    "install(&*zeroed::<Rooted<X86_64La57, Bytes<0xff_ffff>, NeverReclaim, { X86_64La57::NR_ROOTS_LEN }>>());",
    "install(&*zeroed::<Rooted<X86_64La57, Bytes<0x100_0000>, NeverReclaim, { X86_64La57::NR_ROOTS_LEN }>>());"
}

border! {
    /// Memory can be removed only from a model that can wait for its readers.
    Retire:
    "retire(&*zeroed::<Flat<Tiny, Page, Waits, 8>>());",
    "retire(&*zeroed::<Flat<Tiny, Page, NeverReclaim, 8>>());"
}

border! {
    /// The path back from a descriptor needs its section.
    Stamp:
    "struct Plain(u64);
unsafe impl PageDescriptor for Plain { unsafe fn initialise(&self, _: Pfn, _: SectionNr) {} }
unsafe impl SectionStamp for Plain { fn section(&self) -> SectionNr { SectionNr::new(self.0) } }
install(&*zeroed::<Flat<Tiny, Plain, NeverReclaim, 8>>());",
    "struct Plain(u64);
unsafe impl PageDescriptor for Plain { unsafe fn initialise(&self, _: Pfn, _: SectionNr) {} }
install(&*zeroed::<Flat<Tiny, Plain, NeverReclaim, 8>>());"
}
