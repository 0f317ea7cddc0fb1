//! Does one operation on one model, for counting its instructions: `sparsemem-operations OPERATION MODEL`.
//!
//! `cargo xtask codegen` runs it in valgrind, which counts inside [`sparsemem_measured`] only. Without arguments it
//! lists what it can do.

use std::process::ExitCode;

use sparsemem_benches::backends::MODELS;
use sparsemem_benches::slow::operations::{Operation, perform};

/// The counted region: valgrind gets the name of this function.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sparsemem_measured(once: &mut &mut dyn FnMut()) {
    once();
    // Keeps the call above from becoming a jump, after which nothing would come back here.
    std::hint::black_box(());
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [operation, model] = arguments.as_slice() else {
        for operation in Operation::ALL {
            MODELS.iter().for_each(|model| println!("{} {model}", operation.name()));
        }
        return ExitCode::SUCCESS;
    };
    let known = Operation::ALL.into_iter().find(|known| known.name() == operation);
    let done = known.and_then(|known| perform(known, model, &mut |mut once| sparsemem_measured(&mut once)));
    if done.is_none() {
        eprintln!("error: no operation `{operation}` on `{model}`; without arguments all of them are listed");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
