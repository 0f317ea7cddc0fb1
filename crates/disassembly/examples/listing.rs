//! Prints functions of an ELF file: `cargo run --package sparsemem-disassembly --example listing -- FILE SYMBOL..`

use std::error::Error;

use sparsemem_disassembly::Image;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let elf = std::fs::read(arguments.next().ok_or("give a file and symbols")?)?;
    let image = Image::parse(&elf)?;
    for symbol in arguments {
        let listing = image.listing(&symbol)?;
        print!("{listing}");
        let (instructions, loads, calls) = (listing.instructions(), listing.loads(), listing.calls());
        println!("    ; {instructions} instructions, {loads} loads, {calls} calls\n");
    }
    Ok(())
}
