//! Rules by which frames of a section of boot are valid, and places where lookups find which subsections are valid or
//! online.
//!
//! The usage of a section has both, but a lookup that goes there reads the entry, the usage pointer and the map, one after
//! the other. So lookups read something nearer, and the usage is for the writer and for comparisons with Linux:
//!
//! | | lookups read | and it costs |
//! |---|---|---|
//! | [`InWords`] | a bit of the section word, which says that all subsections are alike; the usage of other sections | nothing |
//! | [`InRoots`] | a plane, which is a bit per subsection, in the memory of the section's root | two bits per subsection of a root |
//! | [`FlatPlanes`] | a plane beside the table | two bits per possible subsection |
//!
//! # Invariants
//!
//! 1. Only the writer changes planes, and the bit in the word.
//! 2. A bit of a plane is set (Release) when the descriptors exist, before the word of a new section has its memmap, and cleared
//!    before the word is. All of it is cleared before the grace period for which the section's memory is kept, so a reader who
//!    finds a bit (Acquire) may use the descriptor; a reader who needs the word has to look whether it has a memmap.

use core::marker::PhantomData;

use sparsemem_core::{EarlyFrames, Geometry, SectionNr, SectionShape, ZeroIsNew};
use sparsemem_usage_map::SubsectionMap;

/// A rule that decides which frames are valid, as a choice of the model's type.
pub trait ValidityRule: Send + Sync + 'static {
    /// The frames of a section of boot that are valid: all, or the populated ones. A model with [`EarlyFrames::Reported`] here does not compile,
    /// because a table knows subsections only; the crate `sparsemem-by-frame` wraps models.
    const EARLY: EarlyFrames;
}

/// Linux' rule: a section of boot is valid as a whole, with its holes.
#[derive(Clone, Copy, Debug)]
pub enum LinuxRule {}

impl ValidityRule for LinuxRule {
    const EARLY: EarlyFrames = EarlyFrames::All;
}

/// The exact rule: a subsection of boot memory is valid if boot reported memory in it, and as long as that is not removed.
///
/// Differs from Linux. For kernels that take [`None`] for "this is no RAM".
#[derive(Clone, Copy, Debug)]
pub enum ExactRule {}

impl ValidityRule for ExactRule {
    const EARLY: EarlyFrames = EarlyFrames::Populated;
}

/// One of two planes, each of which has a bit for each subsection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// The bits of subsections that are valid.
    Valid,
    /// The bits of subsections that are online; these are valid, too.
    Online,
}

/// The place where lookups find what they need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The section words and usages: there are no planes.
    InWords,
    /// Planes behind the entries of each root.
    InRoots,
    /// Planes beside the table.
    Beside,
}

/// Keeps [`Validity`] to the types of this file.
mod sealed {
    pub trait Sealed {}
}

/// The rule and the place of validity that a table's type chooses: [`InWords`], [`InRoots`] or [`FlatPlanes`].
pub trait Validity<G: Geometry>: sealed::Sealed + Send + Sync {
    /// The rule that decides which frames are valid.
    type Rule: ValidityRule;
    /// The place where lookups find which frames are valid.
    const KEPT: Kept;
    /// Does not compile for planes that are not the geometry's.
    const CHECK: () = ();
    /// Nothing valid.
    #[cfg(not(sparsemem_loom))]
    const NEW: Self;

    /// Nothing valid; a model checker's atomics have no constants.
    #[cfg(sparsemem_loom)]
    fn fresh() -> Self;

    /// The bits of a section in a plane beside the table.
    fn beside(&self, plane: Plane, nr: SectionNr) -> Option<&SubsectionMap<G>>;
}

/// `V::NEW`, also on the atomics of a model checker.
macro_rules! new_validity {
    ($validity:ty, $geometry:ty) => {{
        #[cfg(not(sparsemem_loom))]
        let new = <$validity as $crate::validity::Validity<$geometry>>::NEW;
        #[cfg(sparsemem_loom)]
        let new = <$validity as $crate::validity::Validity<$geometry>>::fresh();
        new
    }};
}
pub(crate) use new_validity;

/// Declares a place that is not in the table's own memory.
macro_rules! place {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<Q = LinuxRule>(PhantomData<fn() -> Q>);

        impl<Q> sealed::Sealed for $name<Q> {}

        impl<G: Geometry, Q: ValidityRule> Validity<G> for $name<Q> {
            type Rule = Q;
            const KEPT: Kept = Kept::$name;
            #[cfg(not(sparsemem_loom))]
            const NEW: Self = Self(PhantomData);

            #[cfg(sparsemem_loom)]
            fn fresh() -> Self {
                Self(PhantomData)
            }

            #[inline]
            fn beside(&self, _plane: Plane, _nr: SectionNr) -> Option<&SubsectionMap<G>> {
                None
            }
        }

        // SAFETY: there are no bytes.
        unsafe impl<Q> ZeroIsNew for $name<Q> {}
    };
}

place! {
    /// No planes: the section word has a bit for sections whose subsections are alike.
    ///
    /// # Cost
    ///
    /// No load more than an unchecked lookup where the bit is set, which is every section that was added as a whole; two more
    /// elsewhere. Sections of boot under [`LinuxRule`] need the bit for online lookups only.
    InWords
}

place! {
    /// Planes in the memory of each root, behind the entries; for tables with roots.
    ///
    /// # Cost
    ///
    /// Two loads, whatever is valid. A root takes a page more on x86_64: 4 KiB for 32 GiB.
    InRoots
}

/// Planes for all `N` sections of the geometry, beside the table.
///
/// `N` is the number of sections also for a table of roots, whose own `N` is smaller. Frames past the planes would never be
/// valid, so planes of another length do not compile:
///
/// ```compile_fail,E0080
/// use sparsemem_core::{Page, SectionShape, presets::X86_64};
/// use sparsemem_section::{FlatPlanes, RootedTable};
///
/// const ROOTS: usize = X86_64::NR_ROOTS_LEN;
/// static TABLE: RootedTable<X86_64, Page, ROOTS, FlatPlanes<X86_64, ROOTS>> = RootedTable::new();
/// ```
///
/// # Cost
///
/// One load, whatever is valid. Two words of 64 subsections for each possible section of x86_64: each plane has 4 MiB with
/// 46 bits of physical address, 256 MiB with 52.
#[derive(Debug)]
#[repr(C)]
pub struct FlatPlanes<G: Geometry, const N: usize, Q = LinuxRule> {
    valid: [SubsectionMap<G>; N],
    online: [SubsectionMap<G>; N],
    rule: PhantomData<fn() -> Q>,
}

impl<G: Geometry, const N: usize, Q> sealed::Sealed for FlatPlanes<G, N, Q> {}

impl<G: Geometry, const N: usize, Q: ValidityRule> Validity<G> for FlatPlanes<G, N, Q> {
    type Rule = Q;
    const KEPT: Kept = Kept::Beside;
    const CHECK: () =
        assert!(N == G::NR_SECTIONS_LEN, "N of the planes must be the geometry's NR_SECTIONS_LEN");
    #[cfg(not(sparsemem_loom))]
    const NEW: Self = Self {
        valid: [const { SubsectionMap::ZERO }; N],
        online: [const { SubsectionMap::ZERO }; N],
        rule: PhantomData,
    };

    #[cfg(sparsemem_loom)]
    fn fresh() -> Self {
        let plane = || core::array::from_fn(|_| SubsectionMap::new());
        Self { valid: plane(), online: plane(), rule: PhantomData }
    }

    #[inline]
    fn beside(&self, plane: Plane, nr: SectionNr) -> Option<&SubsectionMap<G>> {
        let plane = match plane {
            Plane::Valid => &self.valid,
            Plane::Online => &self.online,
        };
        plane.get(usize::try_from(nr.get()).ok()?)
    }
}

// SAFETY: a map of zero bytes has no members, as it says; `NEW` makes the same bytes.
unsafe impl<G: Geometry, const N: usize, Q> ZeroIsNew for FlatPlanes<G, N, Q> {}
