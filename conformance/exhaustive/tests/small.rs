//! The small walk, on every backend, with the very same counts on each.

use sparsemem_core::Geometry;
use sparsemem_exhaustive::{Backend, Descriptor, Metadata, On, Place, Readers, Size, Walked, walk};
use sparsemem_flat::Flat;

#[test]
fn every_state_of_every_backend_is_what_the_reference_says() {
    for backend in Backend::ALL {
        let report = walk(&backend, Size::Small, &mut |_| {}).unwrap_or_else(|found| panic!("{found}"));
        println!("{backend}: {report}");
        assert_eq!(report.boot_layouts, 16 + 16 + 64);
        assert_eq!((report.states, report.transitions, report.refused), (5_509, 1_387_389, 1_353_640));
    }
}

/// A model of another crate, with what it says about its metadata.
struct Outside(Metadata);

impl<G: Geometry> On<G> for Outside {
    type Model = Flat<G, Descriptor, Readers>;

    fn fresh(&self, _: Place) -> Self::Model {
        Flat::new()
    }
}

impl Walked for Outside {
    fn name(&self) -> &'static str {
        "outside"
    }

    fn metadata(&self) -> Metadata {
        self.0
    }
}

#[test]
fn a_model_that_says_wrong_things_about_its_metadata_is_caught() {
    let found = walk(&Outside(Metadata::PerSection), Size::Small, &mut |_| {}).unwrap_err();
    assert_eq!((found.model, found.operations.len()), ("outside", 1), "{found}");
    assert_eq!(found.expected, "1 blocks of descriptors, 1 others", "{found}");
    assert_eq!(found.found, "0 blocks of descriptors, 1 others", "{found}");
}
