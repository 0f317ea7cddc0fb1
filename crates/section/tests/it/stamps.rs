//! The path from a descriptor to its frame, where nobody has initialised the descriptor.

use crate::tables::{Model, boot, on_both_tables, sections};
use sparsemem_fixture::Env;

/// Section 0 is there, so the zero of a new descriptor is a section that exists: without the check, a frame that does not.
#[cfg(debug_assertions)]
fn a_frame_is_not_asked_of_a_new_descriptor<M: Model>(env: &mut Env, model: &mut M) {
    for before in [vec![sections(0, 1), sections(3, 1)], vec![sections(3, 1)]] {
        boot(model, env, &before);
        let pfn = sections(3, 1).start();
        let page = model.lookup(pfn).unwrap();
        // SAFETY: it breaks the contract, which the model notices before it does any harm: the section's root stays.
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| unsafe { model.pfn_of(page) }));
        let text = *asked.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("section 0") && text.contains("was not initialised"), "{text}");
        sparsemem_core::initialise(model, sections(3, 1));
        // SAFETY: it is initialised now.
        assert_eq!(unsafe { model.pfn_of(page) }, pfn);
        model.tear_down(env).unwrap();
    }
}

#[cfg(debug_assertions)]
on_both_tables!(a_frame_is_not_asked_of_a_new_descriptor);
