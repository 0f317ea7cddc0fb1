//! The full walk: minutes. It runs when `SPARSEMEM_EXHAUSTIVE` is `full`, and names what it would do otherwise.

use sparsemem_exhaustive::{Backend, Size, walk};

#[test]
fn full() {
    if std::env::var("SPARSEMEM_EXHAUSTIVE").as_deref() != Ok("full") {
        println!("set SPARSEMEM_EXHAUSTIVE=full for the full walk");
        return;
    }
    for backend in Backend::ALL {
        let mut part = 0;
        let begin = std::time::Instant::now();
        let report = walk(&backend, Size::Full, &mut |at| {
            if at.part_nr != part {
                part = at.part_nr;
                println!(
                    "{:.0} s: {backend}: {} after {} transitions",
                    begin.elapsed().as_secs_f64(),
                    at.part,
                    at.transitions
                );
            }
        });
        let report = report.unwrap_or_else(|found| panic!("{found}"));
        println!("{backend}: {report}");
        assert_eq!(report.boot_layouts, 2 * (16 + 64 + 256));
        assert_eq!((report.states, report.transitions, report.refused), (199_289, 63_898_151, 59_948_817));
    }
}
