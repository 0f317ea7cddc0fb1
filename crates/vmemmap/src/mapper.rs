//! The array on mappings that the kernel makes, instead of page tables that this crate writes.
//!
//! A kernel that has a mapper and does not lend its page tables implements [`Mapper`] over it, and names
//! [`KernelMapper`] in the place of an entry format. The model maps and unmaps the same descriptors, and a failed populate
//! leaves no leaf of its own. What is lost against an entry format:
//!
//! 1. **Undo by entry**: entries have no mark. A failed populate removes the leaves of its range that hold no valid
//!    frame's descriptor, which are its own; tables that the mapper made for them stay as the mapper leaves them.
//! 2. **Origins**: entries have no room for them. The kernel finds the origin of memory by its address
//!    ([`Mapper::origin_of`]).
//! 3. **Tables**: their bytes are not in the model's footprint, and memory for them is the mapper's to find.
//! 4. **Other address spaces**: nothing tells that an environment has another mapper than the first one had.
//! 5. **Altmaps**: an environment is wrapped with an altmap as with an entry format ([`WithAltmap`](sparsemem_altmap::WithAltmap)),
//!    and the descriptors lie in the added memory as they do there. But only the kernel knows the origin of that memory when
//!    the wrapper is gone: [`Mapper::origin_of`] has to say [`Origin::Altmap`] for all memory that an altmap was made of, also
//!    without the wrapper. If it says that such memory is of the kernel's own blocks, a removal without the altmap offers device
//!    memory to the kernel's allocator, which entries with origins make impossible.

use core::ptr::NonNull;

use sparsemem_core::{
    Block, ByteLen, LeafSize, LinkRefused, LostBlocks, MetadataBlock, MetadataMemory, MetadataUse, Origin,
    PfnRange, PhysAddr, PhysMap, PhysRange, SectionLoss, SectionNr, VirtAddr, VirtRange,
};
use sparsemem_page_table::Choice;
use sparsemem_section::{Before, Content, Populate, PopulateRequest, SectionMemmap, SectionTable, Writing};

use crate::array::{memory_of, visit_memory};
use crate::populate::Policy;
use crate::{ArrayBase, Claim, VirtualArray};

/// The kernel's own mapper maps. This type takes the place of an entry format.
#[derive(Clone, Copy, Debug)]
pub enum KernelMapper {}

/// The mapping at an address, or the hole there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// A mapping that holds the address.
    Leaf {
        /// The first address of the mapping; a multiple of its size.
        at: VirtAddr,
        /// The memory that it leads to.
        to: PhysAddr,
        /// Its size.
        size: LeafSize,
    },
    /// Nothing.
    Hole {
        /// An address after it up to which nothing is mapped; a multiple of the smallest page.
        end: VirtAddr,
    },
}

/// The kernel's mapper, as a virtual memmap uses it.
///
/// # Safety
///
/// 1. From a successful [`Mapper::map`] to the [`Mapper::unmap`] of the same mapping, every processor that is given a
///    pointer into it reaches that memory, to read and to write, and [`Mapper::walk`] says so. Nobody else maps or
///    unmaps in the array's place.
/// 2. When [`Mapper::unmap`] returns, no processor reaches the memory through the mapping any more.
/// 3. [`Mapper::origin_of`] is the origin of the block, from the same environment, that begins at the address, and
///    [`Origin::Altmap`] if the address lies in an altmap.
/// 4. No method unwinds.
pub unsafe trait Mapper: PhysMap {
    /// The smallest mapping.
    fn page(&self) -> LeafSize;

    /// The larger mapping that the array may use, if there is one.
    fn large(&self) -> Option<LeafSize> {
        None
    }

    /// Tells what is mapped at `at`, an address of the array's place.
    fn walk(&self, at: VirtAddr) -> Mapped;

    /// Maps `size` bytes of memory from `to` at `at`, where nothing is mapped; both are multiples of the size.
    ///
    /// # Errors
    ///
    /// [`LinkRefused`], if it cannot; nothing has changed then.
    fn map(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused>;

    /// Removes a mapping.
    fn unmap(&mut self, at: VirtAddr, size: LeafSize);

    /// The origin of the block of metadata that begins at `to`; of memory that an altmap was made of, [`Origin::Altmap`].
    fn origin_of(&self, to: PhysAddr) -> Origin;
}

/// `len` bytes from `at`.
fn range(at: VirtAddr, size: LeafSize) -> VirtRange {
    VirtRange::from_start_count(at, ByteLen::new(size.bytes())).unwrap_or(VirtRange::empty_at(at))
}

/// The slot of a mapping of `size` around `at`.
fn slot(at: VirtAddr, size: LeafSize) -> VirtRange {
    range(VirtAddr::new(at.get() & !(size.bytes() - 1)), size)
}

/// A mapping.
#[derive(Clone, Copy)]
struct Leaf {
    at: VirtAddr,
    to: PhysAddr,
    size: LeafSize,
}

impl Leaf {
    fn range(self) -> VirtRange {
        range(self.at, self.size)
    }

    /// The part of `bytes` after it.
    fn rest_of(self, bytes: VirtRange) -> VirtRange {
        VirtRange::new(self.range().end(), bytes.end()).unwrap_or(VirtRange::empty_at(bytes.end()))
    }
}

/// The first mapping that holds a byte of `bytes`.
fn first_leaf<E: Mapper>(env: &E, bytes: VirtRange) -> Option<Leaf> {
    let mut next = slot(bytes.start(), env.page()).start();
    while next < bytes.end() {
        match env.walk(next) {
            Mapped::Hole { end } => next = end,
            Mapped::Leaf { at, to, size } => return Some(Leaf { at, to, size }),
        }
    }
    None
}

/// The mappings that hold a byte of `bytes`, in order.
fn leaves<E: Mapper>(env: &E, bytes: VirtRange) -> impl Iterator<Item = Leaf> {
    let next = move |leaf: &Leaf| first_leaf(env, leaf.rest_of(bytes));
    core::iter::successors(first_leaf(env, bytes), next)
}

/// The leaves of a populate.
#[derive(Default)]
struct Made {
    bytes: u64,
    found: bool,
    in_altmap: bool,
}

impl<B: ArrayBase> VirtualArray<B, KernelMapper> {
    /// Takes the place, when it is new, and refuses one where something is mapped.
    ///
    /// # Safety
    ///
    /// For the writer of the model.
    unsafe fn take<T: SectionTable, E: Mapper>(
        writing: &Writing<'_, T, Self>,
        env: &E,
    ) -> Result<(), SectionLoss> {
        let array = writing.placement();
        if array.root().is_some() {
            return Ok(());
        }
        array.check_writer(writing.shared_slot())?;
        // SAFETY: the caller is the writer.
        if unsafe { array.base().claim() } == Claim::Taken {
            return Err(SectionLoss::PlaceTaken);
        }
        let window = array.window().ok_or(SectionLoss::OutsideRange)?;
        match env.walk(window.start()) {
            Mapped::Hole { end } if end >= window.end() => {
                // There is no root to remember: that it is set says that the place is taken.
                array.set_root(PhysAddr::new(0));
                Ok(())
            }
            mapped => {
                // SAFETY: the caller is the writer, and nothing was made yet.
                unsafe { array.unsettle() };
                let at = match mapped {
                    Mapped::Leaf { at, .. } => at,
                    Mapped::Hole { end } => end,
                };
                Err(SectionLoss::PlaceShared { at })
            }
        }
    }

    /// Maps what is not mapped yet of `bytes`.
    fn fill<E: MetadataMemory + Mapper>(
        env: &mut E,
        request: &PopulateRequest,
        bytes: VirtRange,
        policy: &Policy,
        made: &mut Made,
        lost: &mut LostBlocks,
    ) -> Result<(), SectionLoss> {
        let mut at = slot(bytes.start(), env.page()).start();
        while at < bytes.end() {
            at = match env.walk(at) {
                Mapped::Leaf { at, to, size } => {
                    made.found = true;
                    made.in_altmap |= env.origin_of(to) == Origin::Altmap;
                    range(at, size).end()
                }
                Mapped::Hole { .. } => place(env, request, at, policy, made, lost)?,
            };
        }
        Ok(())
    }

    /// Unmaps the leaves of `frames` that hold no descriptor of a valid frame.
    fn unmap_unused<T, E>(
        writing: &Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        lost: &mut LostBlocks,
    ) where
        T: SectionTable,
        E: MetadataMemory + Mapper,
    {
        let array = writing.placement();
        let Some(bytes) = array.bytes_within::<T::Page>(frames) else { return };
        let mut rest = bytes;
        while let Some(leaf) = first_leaf(env, rest) {
            if writing.first_valid(array.frames_in::<T::Page>(leaf.range())).is_none() {
                env.unmap(leaf.at, leaf.size);
                array.subtract_leaf_bytes(leaf.size.bytes());
                give_back(env, leaf.to, leaf.size, lost);
            }
            rest = leaf.rest_of(bytes);
        }
    }
}

/// Maps new memory at `at`, where nothing is mapped; returns the address after it.
fn place<E: MetadataMemory + Mapper>(
    env: &mut E,
    request: &PopulateRequest,
    at: VirtAddr,
    policy: &Policy,
    made: &mut Made,
    lost: &mut LostBlocks,
) -> Result<VirtAddr, SectionLoss> {
    let is_free =
        |slot: VirtRange| matches!(env.walk(slot.start()), Mapped::Hole { end } if end >= slot.end());
    let large = env.large().filter(|large| {
        let slot = slot(at, *large);
        is_free(slot) && policy.choose(slot, *large) == Choice::Place
    });
    let (block, size) = match large.map(|large| (env.alloc_memmap(large.layout(), request.node), large)) {
        Some((Ok(block), large)) => (block, large),
        _ => {
            let page = env.page();
            (env.alloc_memmap(page.layout(), request.node).map_err(SectionLoss::Memmap)?, page)
        }
    };
    let (slot, to) = (slot(at, size), block.phys());
    if let Err(refused) = env.map(slot.start(), to, size) {
        if let Err(foreign) = env.free(block) {
            lost.note(foreign.error);
        }
        return Err(SectionLoss::Mapping(refused));
    }
    made.bytes += size.bytes();
    made.in_altmap |= block.origin() == Origin::Altmap;
    Ok(slot.end())
}

/// Gives the memory of a leaf back that was unmapped.
fn give_back<E: MetadataMemory + Mapper>(env: &mut E, to: PhysAddr, size: LeafSize, lost: &mut LostBlocks) {
    let (start, origin) = (env.phys_to_virt(to), env.origin_of(to));
    // SAFETY: 1. A leaf in the array's place was made from exactly this block, of this origin (`Mapper`). 2. It is not
    // mapped any more, so nobody knows the block.
    let block = unsafe { Block::from_parts(start, to, size.layout(), origin) };
    if let Err(refused) = env.free(block) {
        lost.note(refused.error);
    }
}

// SAFETY: `populate` returns success only if every byte of the requested descriptors is mapped to zeroed, exclusively
// owned memory, which stays until `unmap_unused` finds no valid frame in its leaf.
unsafe impl<T, B, E> Populate<T, E> for VirtualArray<B, KernelMapper>
where
    T: SectionTable,
    B: ArrayBase,
    E: MetadataMemory + Mapper,
{
    fn populate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        request: &PopulateRequest,
        lost: &mut LostBlocks,
    ) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        // SAFETY: this is the writer: it has the token.
        unsafe { Self::take(writing, env) }?;
        let array = writing.placement();
        let bytes = array.bytes_of::<T::Page>(request.frames).ok_or(SectionLoss::OutsideRange)?;
        let section = request.section.first_pfn::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
        let first = NonNull::new(array.element(section)).ok_or(SectionLoss::OutsideRange)?;
        let largest = env.large().unwrap_or(env.page());
        let policy = array.policy::<T>(largest, env.large(), request, bytes);
        let mut made = Made::default();
        let filled = Self::fill(env, request, bytes, &policy, &mut made, lost);
        array.add_leaf_bytes(made.bytes);
        if let Err(loss) = filled {
            Self::unmap_unused(writing, env, request.frames, lost);
            return Err(loss);
        }
        let is_zero = !made.found || request.before() == Before::NoFrame;
        let content = if is_zero { Content::Zero } else { Content::MaybeOld };
        let origin = if made.in_altmap { Origin::Altmap } else { Origin::Boot };
        Ok(SectionMemmap { first, origin, content })
    }

    unsafe fn depopulate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        _memmap: SectionMemmap<T::Page>,
        lost: &mut LostBlocks,
    ) {
        Self::unmap_unused(writing, env, frames, lost);
    }

    unsafe fn shrink(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        lost: &mut LostBlocks,
    ) {
        Self::unmap_unused(writing, env, frames, lost);
    }

    fn each_block(
        writing: &Writing<'_, T, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) {
        let Some(bytes) = writing.placement().bytes_of_section::<T>(section) else { return };
        for leaf in leaves(env, bytes) {
            let origin = env.origin_of(leaf.to);
            visit_memory(MetadataUse::Memmap, memory_of(leaf.to, leaf.size), origin, visit);
        }
    }

    fn other_altmap(writing: &Writing<'_, T, Self>, env: &E, frames: PfnRange) -> Option<PhysRange> {
        let in_altmap = |leaf: &Leaf| env.origin_of(leaf.to) == Origin::Altmap;
        Self::unmapped_with(writing, frames).find_map(|bytes| {
            let leaves = leaves(env, bytes).filter(in_altmap);
            let gone = leaves.filter(|leaf| writing.placement().goes_with(writing, frames, leaf.range()));
            let mut memory = gone.filter_map(|leaf| memory_of(leaf.to, leaf.size));
            memory.find(|memory| !env.has_altmap(*memory))
        })
    }

    fn needed_by(writing: &Writing<'_, T, Self>, env: &E, frames: PfnRange) -> Option<PfnRange> {
        let array = writing.placement();
        let inside = frames.bytes::<T::Geometry>()?;
        let in_frames = |leaf: &Leaf| {
            let is_inside = memory_of(leaf.to, leaf.size).is_some_and(|memory| memory.overlaps(inside));
            is_inside && env.origin_of(leaf.to) == Origin::Altmap
        };
        writing.sections_in_altmaps().find_map(|(nr, _)| {
            let bytes = array.bytes_within::<T::Page>(nr.frames::<T::Geometry>()?)?;
            leaves(env, bytes).filter(in_frames).find_map(|leaf| {
                writing.first_valid_outside(array.frames_in::<T::Page>(leaf.range()), frames)
            })
        })
    }
}
