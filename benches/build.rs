//! Compiles the C twins' loops, once for each geometry that is measured.

fn main() {
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=probes/c");
    // Suffix, bits of a section number, and the place of the virtual array, as in `src/backends.rs`.
    for (suffix, section_bits, array) in
        [("x86_64", "19", "0x200000000000"), ("la57", "25", "0x240000000000")]
    {
        let mut loops = cc::Build::new();
        loops
            .file("c/sweeps.c")
            .include("probes/c")
            .define("LOOPS", format!("c_loops_{suffix}").as_str())
            .define("SECTION_NR_BITS", section_bits)
            .define("ARRAY_START", array)
            .std("c11")
            .opt_level(2)
            .debug(false)
            .extra_warnings(true)
            .warnings_into_errors(true)
            .flag("-fno-stack-protector")
            // As the loops of Rust in `cargo xtask bench`.
            .flag_if_supported("-falign-loops=64")
            .flag_if_supported("-fcf-protection=none");
        loops.compile(&format!("sparsemem_sweeps_{suffix}"));
    }
}
