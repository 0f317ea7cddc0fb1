//! Every scenario that suits a model that boots. `cargo test lookup::` runs some of them.

use small_table::SmallTable;
use sparsemem_harness::{ByAddress, Capabilities, Host, Verdict, WayBack, place};

fn small_table(host: Host) -> Verdict {
    // SAFETY: `pfn_of` of the table compares addresses and reads no descriptor.
    let way_back = WayBack::Address(unsafe { ByAddress::promise() });
    host.boot_only(|_| (place::<SmallTable>(), Capabilities { way_back, ..Capabilities::LEAST }))
}

sparsemem_harness::tests!(small_table);
