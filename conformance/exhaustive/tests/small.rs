//! The small walk, on every backend, with the very same counts on each.

use sparsemem_exhaustive::{Backend, Size, walk};

#[test]
fn every_state_of_every_backend_is_what_the_reference_says() {
    for backend in Backend::ALL {
        let report = walk(backend, Size::Small, &mut |_| {}).unwrap_or_else(|found| panic!("{found}"));
        println!("{backend}: {report}");
        assert_eq!(report.boot_layouts, 16 + 16 + 64);
        assert_eq!((report.states, report.transitions, report.refused), (5_509, 1_387_389, 1_353_640));
    }
}
