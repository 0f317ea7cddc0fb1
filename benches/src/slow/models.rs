//! The three models with readers that count, each with an environment: for everything that changes a model.

use sparsemem_core::presets::X86_64;
use sparsemem_core::{BootModel, InstallModel, MarkModel, Page, RetireModel, ZeroIsNew};

use crate::domain::Counted;
use crate::ground::{Ground, Pages};
use crate::maps::Map;
use crate::models::{
    ArrayMemory, Classic, Extreme, Fixed, OfSlowPaths, ROOTS, SECTIONS, fresh, memmap_bytes,
};

/// classic-sparse.
pub type SlowClassic = Classic<X86_64, Counted, SECTIONS>;
/// sparse-extreme.
pub type SlowExtreme = Extreme<X86_64, Counted, ROOTS>;
/// vmemmap.
pub type SlowFixed = Fixed<X86_64, Counted, OfSlowPaths, ROOTS>;

/// A model that can do everything.
pub trait Slow:
    BootModel<Ground, Geometry = X86_64, Page = Page, Reclaim = Counted>
    + InstallModel<Ground>
    + RetireModel<Ground>
    + MarkModel
    + ZeroIsNew
    + Send
{
    /// Name in reports.
    const NAME: &'static str;
    /// Whether descriptors lie in a virtual array.
    const HAS_ARRAY: bool;
}

impl Slow for SlowClassic {
    const NAME: &'static str = "classic-sparse";
    const HAS_ARRAY: bool = false;
}

impl Slow for SlowExtreme {
    const NAME: &'static str = "sparse-extreme";
    const HAS_ARRAY: bool = false;
}

impl Slow for SlowFixed {
    const NAME: &'static str = "vmemmap";
    const HAS_ARRAY: bool = true;
}

/// A fresh model with all that it needs.
pub struct Stand<M> {
    /// The model; nothing is present yet.
    pub model: Box<M>,
    /// Its memory.
    pub ground: Ground,
    _array: Option<ArrayMemory>,
}

impl<M: Slow> Stand<M> {
    /// A model that is going to have the memory of `map`, and some sections more.
    #[must_use]
    pub fn new(map: &Map) -> Self {
        // SAFETY: the model is made below, and is dropped before this.
        let array = M::HAS_ARRAY.then(|| unsafe { ArrayMemory::of_place::<OfSlowPaths>(Pages::Huge) });
        let bytes = memmap_bytes::<X86_64>(&map.memory) + (64 << 20);
        let ground = Ground::new((bytes >> 12) + (64 << 20), bytes, Pages::Huge);
        Self { model: fresh(), ground, _array: array }
    }

    /// Brings the model up.
    ///
    /// # Panics
    ///
    /// If a section is lost.
    pub fn boot(&mut self, map: &Map) {
        let mut writer = self.model.write().expect("nobody else knows of the model");
        let up = writer.boot(&mut self.ground, map.memory.iter().copied(), &mut |_| {});
        assert_eq!(up.map(|up| (up.sections, up.lost)), Ok((map.sections(), 0)));
        drop(writer);
        self.ground.finish_boot();
    }

    /// Takes the model down, and makes its memory as it was before.
    ///
    /// # Panics
    ///
    /// If something is not taken back.
    pub fn take_down(&mut self) {
        self.model.tear_down(&mut self.ground).expect("the ground takes back what it gave");
        // SAFETY: the model has given everything back.
        unsafe { self.ground.rewind() };
    }
}
