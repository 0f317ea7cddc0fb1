//! Decides from a model's capabilities whether a recording can be replayed on it.

use sparsemem_core::presets::{X86_64, X86_64La57};
use sparsemem_core::{MemoryModel, Page};
use sparsemem_suite::{Capabilities, MemmapSource, Shape, TableKind, Usages};

use crate::kernel::Levels;
use crate::script::{Op, Script};

/// A difference between a model and the recorded kernel that leaves nothing to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unlike {
    /// [`Capabilities::usages`].
    #[error(
        "Linux keeps a usage for each section, and the model keeps subsections elsewhere (Capabilities::usages)"
    )]
    Usages,
    /// [`Capabilities::memmaps`].
    #[error(
        "the recorded memory holds its own descriptors, and the model takes them from elsewhere (Capabilities::memmaps)"
    )]
    Memmaps,
    /// The model's geometry.
    #[error("the recorded kernel has the geometry {recorded}, and the model {model}")]
    Geometry {
        /// The name of the recorded kernel's.
        recorded: &'static str,
        /// The name of the model's.
        model: &'static str,
    },
    /// The model's descriptor.
    #[error("the recorded kernel's descriptors have {} bytes, and the model's {bytes}", size_of::<Page>())]
    Descriptor {
        /// Bytes of the model's.
        bytes: usize,
    },
}

/// The geometry of a recorded kernel.
const fn shape(levels: Levels) -> Shape {
    match levels {
        Levels::Four => Shape::of::<X86_64>(),
        Levels::Five => Shape::of::<X86_64La57>(),
    }
}

/// The reason why a recording cannot be replayed on a model, if there is one.
pub(crate) fn unlike<M: MemoryModel>(script: &Script, can: &Capabilities) -> Option<Unlike> {
    let (recorded, model) = (shape(script.kernel.levels), Shape::of::<M::Geometry>());
    let bytes = size_of::<M::Page>();
    if can.usages == Usages::Elsewhere {
        return Some(Unlike::Usages);
    }
    if bytes != size_of::<Page>() {
        return Some(Unlike::Descriptor { bytes });
    }
    if (Shape { name: model.name, ..recorded }) != model {
        return Some(Unlike::Geometry { recorded: recorded.name, model: model.name });
    }
    let is_hosted = |op: Op| op.altmap().is_some();
    (can.memmaps == MemmapSource::Other && script.ops().any(is_hosted)).then_some(Unlike::Memmaps)
}

/// True if a model has a table of roots that come and go.
pub(crate) const fn has_roots(can: &Capabilities) -> bool {
    matches!(can.table, TableKind::Rooted)
}
