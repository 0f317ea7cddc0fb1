//! The memory that a device's descriptors take on a backend, in base pages and in large ones: measured on a small machine.

use sparsemem_any::{AnyModel, Backend};
use sparsemem_core::{
    CompoundOrder, Geometry, InstallError, InstallModel, NodeId, Page, PageCount, Pfn, PfnRange, PhysAddr,
    PhysRange, ReadOnlyTails, RetireModel,
};
use sparsemem_fixture::Fixture;
use sparsemem_machine::{HostRcu, Machine, MachineConfig, MachineError};

use crate::inspection::InspectedDevice;

/// The node of the device.
const NODE: NodeId = NodeId::new(0);
/// The domain of the readers of all models of this program: with one each, all of them would be compiled twice.
pub(crate) enum Readers {}

/// The least number of bytes of memory that is measured: a size to which others are easily compared.
const LEAST: u64 = 1 << 30;

/// Bytes of a page, from text such as `2M` or `1G`; a power of two.
///
/// # Errors
///
/// The error in the text.
pub(crate) fn page_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no power of two of bytes, such as 2M or 1G");
    let (digits, shift) = match text.char_indices().next_back().ok_or_else(wrong)? {
        (end, 'K' | 'k') => (&text[..end], 10),
        (end, 'M' | 'm') => (&text[..end], 20),
        (end, 'G' | 'g') => (&text[..end], 30),
        _ => (text, 0),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(1 << shift).filter(|bytes| bytes.is_power_of_two()).ok_or_else(wrong)
}

/// Measures a device with pages of `page_bytes`, as much of it as has whole pages and is worth a figure.
///
/// # Errors
///
/// The host's, if it cannot make the machine.
pub(crate) fn measure<G: Geometry, const SECTIONS: usize, const ROOTS: usize>(
    backend: Backend,
    page_bytes: u64,
) -> Result<InspectedDevice, MachineError> {
    let bytes = page_bytes.max(LEAST);
    let range =
        |from: u64, to: u64| PhysRange::new(PhysAddr::new(from), PhysAddr::new(to)).unwrap_or_default();
    let end = bytes.saturating_mul(2);
    // Its descriptors take less than an eighth of it.
    let config = MachineConfig::new().memory(range(0, bytes), NODE).unmanaged(range(bytes, end));
    let window = if backend.has_array() { (end >> G::PAGE_SHIFT) * size_of::<Page>() as u64 } else { 0 };
    let config = config.vmemmap_bytes(window.next_multiple_of(1 << 30));
    let made = Fixture::<AnyModel<G, Page, HostRcu<Readers>, SECTIONS, ROOTS>>::new(backend, &config);
    let Fixture { model, mut machine } = made?;
    let frame = |at: u64| Pfn::new(at >> G::PAGE_SHIFT);
    let device = PfnRange::new(frame(bytes), frame(end)).unwrap_or_default();
    let order = CompoundOrder::of(device_page::<G>(page_bytes));
    Ok(InspectedDevice {
        bytes,
        page_bytes,
        plain_bytes: cost(&model, &mut machine, device, None),
        folded_bytes: order.and_then(|order| cost(&model, &mut machine, device, Some(order))),
    })
}

/// The frames of a large page.
fn device_page<G: Geometry>(bytes: u64) -> PageCount {
    PageCount::new(bytes >> G::PAGE_SHIFT)
}

/// Bytes of the descriptors of a device and of the page tables to them; `None` if the model does not add it.
fn cost<M>(model: &M, machine: &mut Machine, device: PfnRange, order: Option<CompoundOrder>) -> Option<u64>
where
    M: InstallModel<Machine> + RetireModel<Machine>,
{
    let taken = || {
        let footprint = model.footprint();
        footprint.memmap_bytes + footprint.page_table_bytes
    };
    let (before, mut end) = (taken(), device.start());
    let mut writer = model.write()?;
    let added: Result<(), InstallError> = device.by_section::<M::Geometry>().try_for_each(|(_, part)| {
        match order {
            None => writer.install(machine, part, NODE),
            Some(order) => {
                #[expect(unsafe_code, reason = "a promise about this function")]
                // SAFETY: nobody looks the frames up before they are removed below.
                let tails = unsafe { ReadOnlyTails::promise(order) };
                writer.install_compounds(machine, part, NODE, tails)
            }
        }?;
        end = part.end();
        Ok(())
    });
    let cost = taken() - before;
    if let Some(there) = PfnRange::new(device.start(), end).ok().filter(|there| !there.is_empty())
        && let Err(error) = writer.retire(machine, there)
    {
        unreachable!("frames that were just added can be removed: {error}");
    }
    added.ok().map(|()| cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparsemem_core::{SectionShape, presets::X86_64};

    #[test]
    fn sizes_are_powers_of_two_of_bytes() {
        assert_eq!(
            ["2M", "1G", "64k", "4096"].map(|text| page_size(text).unwrap()),
            [2 << 20, 1 << 30, 64 << 10, 4096]
        );
        for wrong in ["", "M", "3M", "0", "2T", "-2M", "99999999999G"] {
            assert!(page_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_an_array_shares_descriptors_and_each_takes_what_it_should() {
        const SECTIONS: usize = X86_64::NR_SECTIONS_LEN;
        const ROOTS: usize = X86_64::NR_ROOTS_LEN;
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_sparse()) {
            let of = |page| measure::<X86_64, SECTIONS, ROOTS>(backend, page).unwrap();
            let [large, huge] = [2 << 20, 1 << 30].map(of);
            let plain = large.plain_bytes.unwrap();
            assert!((16 << 20..17 << 20).contains(&plain), "{backend}: {plain}");
            if !backend.has_array() {
                assert_eq!((large.folded_bytes, huge.folded_bytes), (None, None), "{backend}");
                continue;
            }
            // Two MiB for heads; a page and its record for tails; eight tables of pages, and two above.
            let (page, record) = (4096, 32);
            assert_eq!(large.folded_bytes, Some(512 * page + page + record + 10 * page));
            assert_eq!(huge.folded_bytes, Some(page + page + record + 10 * page));
        }
    }
}
