//! Devices, and memory that hosts its own memmap, on every backend and the simulated machine.

use sparsemem_altmap::{Altmap, AltmapError, AltmapSpec, MemmapRule, StillInUse, room_needed};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    LeafSize, MemoryModel, MemoryRange, Origin, Page, PageCount, Pfn, PfnRange, PhysAddr, PhysMap, PhysRange,
    RetireError, RetireModel, SectionNr, SectionShape, VirtAddr, Writer,
};
use sparsemem_fixture::{
    Backend, Fixture, NODE, PcModel, Refusals, boot, on_every_backend, with_altmap, words_of,
};
use sparsemem_machine::{Access, HostRcu, Machine, MachineConfig, probe};

enum Readers {}
type Model = PcModel<HostRcu<Readers>>;

const MIB: u64 = 1 << 20;
const SECTION: u64 = 128 * MIB;
/// The device of the recording: 700 MiB at 0x30200000, in sections that RAM has in part.
const DEVICE: u64 = 0x3020_0000;
const DEVICE_BYTES: u64 = 700 * MIB;

fn bytes(start: u64, len: u64) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), PhysAddr::new(start + len)).unwrap()
}

fn frames(start: u64, len: u64) -> PfnRange {
    bytes(start, len).whole_frames::<X86_64>()
}

/// A model on a machine, and all that the tests need of both.
struct System {
    model: Model,
    machine: Machine,
    rule: MemmapRule,
}

/// RAM up to the device and behind it up to 2 GiB, as in the recording; a module of 256 MiB at 4 GiB.
fn machine() -> MachineConfig {
    let behind = DEVICE + DEVICE_BYTES;
    MachineConfig::new()
        .memory(bytes(0, DEVICE), NODE)
        .memory(bytes(behind, 2048 * MIB - behind), NODE)
        .unmanaged(bytes(DEVICE, DEVICE_BYTES))
        .unmanaged(bytes(4096 * MIB, 2 * SECTION))
        .vmemmap_bytes(1 << 30)
}

/// Makes the bytes of unmanaged memory something else than zero.
fn soil(machine: &Machine, range: PhysRange) {
    let len = usize::try_from(range.count().get()).unwrap();
    // SAFETY: the machine has this memory, and its allocators never give it out.
    unsafe { machine.phys_to_virt(range.start()).write_bytes(0xa5, len) };
}

impl System {
    fn boot(backend: Backend) -> Self {
        let Fixture { model, mut machine } = Fixture::<Model>::new(backend, &machine()).unwrap();
        let rule = if backend.has_array() { MemmapRule::ArrayLeaves } else { MemmapRule::SectionBlocks };
        let memory: Vec<_> = machine
            .memory()
            .iter()
            .map(|(range, node)| MemoryRange::from_bytes::<X86_64>(*range, *node))
            .collect();
        boot(&model, &mut machine, &memory);
        soil(&machine, bytes(DEVICE, 16 * MIB));
        soil(&machine, bytes(4096 * MIB, 8 * MIB));
        Self { model, machine, rule }
    }

    /// Adds a request section by section; on failure takes back what was added, with the same altmap.
    fn add(&mut self, altmap: &mut Altmap<'_, X86_64>, request: PfnRange) -> bool {
        let mut env = with_altmap(&mut self.machine, altmap);
        let mut writer = self.model.write().unwrap();
        for (_, part) in request.by_section::<X86_64>() {
            if writer.install(&mut env, part, NODE).is_err() {
                let done = request.split_at(part.start()).0;
                if !done.is_empty() {
                    retire(&mut writer, &mut env, done);
                }
                return false;
            }
        }
        true
    }

    fn remove(&mut self, altmap: &mut Altmap<'_, X86_64>, request: PfnRange) {
        let mut env = with_altmap(&mut self.machine, altmap);
        retire(&mut self.model.write().unwrap(), &mut env, request);
    }

    /// The physical address of the descriptor of a frame.
    fn backing(&self, pfn: Pfn) -> PhysAddr {
        let page = self.model.lookup(pfn).unwrap().cast::<u8>();
        self.machine.virt_to_phys(page).unwrap_or_else(|| {
            let at = VirtAddr::new(page.addr().get() as u64);
            let leaf = self.machine.translate(at).unwrap().unwrap();
            PhysAddr::new(leaf.to.get() + at.get() - leaf.at.get())
        })
    }

    /// Every descriptor of the request is there, zeroed and writable.
    fn use_descriptors(&self, request: PfnRange) {
        let reader = self.model.read();
        for run in self.model.valid_ranges(request) {
            for pfn in [run.start().get(), run.start().get() + 1, run.end().get() - 1] {
                let page = reader.page(Pfn::new(pfn)).unwrap();
                assert_eq!(probe(core::ptr::from_ref(page).cast_mut().cast()), Access::Readable);
                let seen = page.private.swap(pfn, std::sync::atomic::Ordering::Relaxed);
                assert_eq!(seen, 0, "descriptor of frame {pfn:#x} was not zeroed");
            }
        }
    }

    fn ram(&self) -> u64 {
        self.machine.balance().total().bytes
    }
}

fn retire<M: RetireModel<E>, E>(writer: &mut Writer<'_, M>, env: &mut E, frames: PfnRange) {
    assert!(writer.retire(env, frames).unwrap().lost.is_empty());
}

fn claim(spec: AltmapSpec) -> Altmap<'static, X86_64> {
    // SAFETY: the tests set aside unmanaged memory of the machine, which nothing else uses.
    unsafe { Altmap::claim(spec, words_of(spec).leak()) }.unwrap()
}

fn spec(first: Pfn, reserve: u64, free: u64) -> AltmapSpec {
    AltmapSpec::new(first, PageCount::new(reserve), PageCount::new(free)).unwrap()
}

on_every_backend!(
    sparse
    the_recorded_device_takes_no_ram,
    memory_hosts_its_own_memmap,
    failures_leave_everything_as_it_was,
    a_foreign_altmap_is_refused,
    requests_that_do_not_fit_are_refused,
    an_altmap_without_aligned_room_still_serves,
);

/// The recording `altmap-700m`: base 0x30200, two frames kept, 3070 free.
fn the_recorded_device_takes_no_ram(backend: Backend) {
    let mut system = System::boot(backend);
    let request = frames(DEVICE, DEVICE_BYTES);
    let spec = spec(request.start(), 2, 3070);
    let mut altmap = claim(spec);
    let (ram, digest) = (system.ram(), system.machine.state_digest());
    let before = system.model.footprint();
    altmap.check_add(&system.model, system.rule, request).unwrap();
    assert!(system.add(&mut altmap, request));
    // Sections 7 to 10 are new: a memmap of 2 MiB each, at the places where Linux put them.
    for (index, section) in (7..=10).enumerate() {
        let first = SectionNr::new(section).first_pfn::<X86_64>().unwrap();
        assert_eq!(system.backing(first).get(), 809_500_672 + 2 * MIB * index as u64);
    }
    assert_eq!((altmap.in_use().get(), altmap.skipped().get()), (4 * 512, 510));
    // Usages, which are not descriptors, are all that RAM had to give: not one page for the memmap.
    let usages = system.model.footprint().usage_bytes - before.usage_bytes;
    assert_eq!(system.ram() - ram, usages);
    assert!((4 * 88..4 * 256).contains(&usages), "four usages, not {usages} bytes");
    system.use_descriptors(frames(7 * SECTION, 4 * SECTION));
    system.machine.mirror_matches_tables().unwrap();
    system.remove(&mut altmap, request);
    assert_eq!((altmap.in_use().get(), altmap.skipped().get()), (0, 0));
    assert_eq!(system.machine.state_digest(), digest);
    // Adding it again is the same, padding and all.
    assert!(system.add(&mut altmap, request));
    system.use_descriptors(frames(7 * SECTION, 4 * SECTION));
    system.remove(&mut altmap, request);
    assert_eq!(altmap.release().map_err(|refused| refused.error), Ok(spec));
}

/// A module of two sections, each with its memmap in itself.
fn memory_hosts_its_own_memmap(backend: Backend) {
    let mut system = System::boot(backend);
    let (ram, digest) = (system.ram(), system.machine.state_digest());
    let blocks = [frames(4096 * MIB, SECTION), frames(4096 * MIB + SECTION, SECTION)];
    let specs = blocks.map(|block| AltmapSpec::self_hosted::<X86_64, Page>(block).unwrap());
    assert_eq!(specs[1].offset().get(), 512);
    let mut altmaps = specs.map(claim);
    for (block, altmap) in blocks.iter().zip(&mut altmaps) {
        altmap.check_add(&system.model, system.rule, *block).unwrap();
        assert!(system.add(altmap, *block));
        assert_eq!(system.backing(block.start()), block.start().phys::<X86_64>().unwrap());
        let usable = altmap.spec().usable(*block);
        assert_eq!((usable.start().get() - block.start().get(), usable.end()), (512, block.end()));
        system.model.write().unwrap().set_online(usable).unwrap();
        system.use_descriptors(*block);
    }
    let large = [Origin::Boot, Origin::Runtime].map(|origin| system.machine.balance().of(origin).bytes);
    assert!(system.ram() - ram < 32 << 10, "no descriptor in RAM: {large:?}");
    for (block, altmap) in blocks.iter().zip(&mut altmaps) {
        system.model.write().unwrap().set_offline(altmap.spec().usable(*block)).unwrap();
        system.remove(altmap, *block);
        assert_eq!(altmap.in_use().get(), 0);
    }
    assert_eq!(system.machine.state_digest(), digest);
}

/// Refuses the first, second, .. request of the machine while a device is added.
fn failures_leave_everything_as_it_was(backend: Backend) {
    let mut system = System::boot(backend);
    let request = frames(DEVICE, DEVICE_BYTES);
    let spec = spec(request.start(), 2, 3070);
    let mut altmap = claim(spec);
    let digest = system.machine.state_digest();
    let untouched = format!("{altmap:?}");
    let mut refusals = Refusals::default();
    while refusals.arm(&mut system.machine) {
        let added = system.add(&mut altmap, request);
        let refused = refusals.heal(&mut system.machine);
        assert!(refused || added, "it fails by itself");
        if added {
            system.remove(&mut altmap, request);
        }
        assert_eq!(system.machine.state_digest(), digest, "{refusals:?}");
        assert_eq!(format!("{altmap:?}"), untouched, "{refusals:?}");
        assert!(!system.model.is_valid(frames(7 * SECTION, SECTION).start()));
    }
    println!("{}: {} points of failure", system.model.name(), refusals.count());
    assert!(refusals.count() >= 8, "at least every usage was refused once, alone and with the rest");
}

/// Removal without the altmap, and with that of another device: refused by all operations, and nothing changes.
fn a_foreign_altmap_is_refused(backend: Backend) {
    let mut system = System::boot(backend);
    let request = frames(7 * SECTION, SECTION);
    let device = spec(request.start(), 0, 1024);
    let mut altmap = claim(device);
    let other_spec = spec(frames(4096 * MIB, MIB).start(), 0, 1024);
    let mut other = claim(other_spec);
    assert!(system.add(&mut altmap, request));
    let before = (system.machine.state_digest(), format!("{altmap:?}{other:?}"));
    let no_altmap = refuses_all(&system.model, &mut system.machine, request);
    let mut wrong = with_altmap(&mut system.machine, &mut other);
    assert_eq!(refuses_all(&system.model, &mut wrong, request), no_altmap);
    let why = RetireError::OtherAltmap { frames: request, memory: no_altmap };
    assert!(why.to_string().contains("through an environment with the altmap"), "{why}");
    assert!(bytes(request.start().get() * 4096, 1024 * 4096).contains_range(no_altmap), "{no_altmap}");
    assert_eq!((system.machine.state_digest(), format!("{altmap:?}{other:?}")), before);
    assert!(system.model.is_valid(request.start()));
    let refused = altmap.release().unwrap_err();
    assert_eq!(refused.error, StillInUse { base: request.start(), in_use: PageCount::new(512) });

    let mut altmap = refused.returned;
    system.remove(&mut altmap, request);
    assert!(altmap.release().is_ok() && other.release().is_ok());
}

/// Fails unless all that could retire the frames refuses, because of the altmap that it names.
fn refuses_all<E>(model: &Model, env: &mut E, frames: PfnRange) -> PhysRange
where
    Model: RetireModel<E>,
{
    let mut writer = model.write().unwrap();
    let refusals = [
        writer.check_retire(env, frames).unwrap_err(),
        writer.undo_install(env, frames).unwrap_err(),
        writer.retire(env, frames).unwrap_err(),
    ];
    let memories = refusals.map(|why| match why {
        RetireError::OtherAltmap { frames: named, memory } if named == frames => memory,
        other => panic!("{other}"),
    });
    assert_eq!(memories, [memories[0]; 3]);
    memories[0]
}

/// Everything that Linux believes.
fn requests_that_do_not_fit_are_refused(backend: Backend) {
    let mut system = System::boot(backend);
    let request = frames(DEVICE, DEVICE_BYTES);
    let check = |system: &System, spec: AltmapSpec, request| {
        let altmap = claim(spec);
        altmap.check_add(&system.model, system.rule, request)
    };
    let first = request.start();
    let shifted = Pfn::new(first.get() + 1);
    let wrong = AltmapError::WrongBase { base: shifted, first };
    assert_eq!(check(&system, spec(shifted, 0, 4096), request), Err(wrong));
    let offset = PageCount::new(request.count().get() + 1);
    let beyond = AltmapError::BeyondRequest { offset, request };
    assert_eq!(check(&system, spec(first, offset.get(), 0), request), Err(beyond));
    // Room: sections 7 to 10 need 2048 frames, and the table models 510 more to align them.
    let needed = if system.rule == MemmapRule::SectionBlocks { 2558 } else { 2048 };
    let needed = PageCount::new(needed);
    let free = PageCount::new(needed.get() - 1);
    let small = AltmapError::TooSmall { request, needed, free };
    assert_eq!(check(&system, spec(first, 2, free.get()), request), Err(small));
    assert_eq!(check(&system, spec(first, 2, needed.get()), request), Ok(()));
    // RAM in the request, and frames that cannot be.
    let ram = frames(DEVICE - 2 * MIB, DEVICE_BYTES);
    let populated = check(&system, spec(ram.start(), 0, 4096), ram).unwrap_err();
    assert!(matches!(populated, AltmapError::Populated { section, .. } if section == SectionNr::new(6)));
    let last = PfnRange::from_start_count(Pfn::new(X86_64::MAX_PFN - 512), PageCount::new(1024)).unwrap();
    let over = check(&system, spec(last.start(), 0, 1024), last).unwrap_err();
    assert!(matches!(over, AltmapError::BeyondMaximum { .. }));
    // A request of whatever size is answered at once.
    let endless = PfnRange::new(first, Pfn::new(u64::MAX)).unwrap();
    let over = check(&system, spec(first, 2, 64), endless).unwrap_err();
    assert!(matches!(over, AltmapError::BeyondMaximum { frames, .. } if frames == endless));
    for rule in [MemmapRule::SectionBlocks, MemmapRule::ArrayLeaves] {
        for start in [0, 1 << 58, u64::MAX - 1] {
            let endless = PfnRange::new(Pfn::new(start), Pfn::new(u64::MAX)).unwrap();
            assert_eq!(room_needed(&system.model, rule, first, endless), None);
        }
    }
    assert!(AltmapSpec::new(Pfn::new(u64::MAX), PageCount::new(1), PageCount::new(0)).is_err());
    assert!(AltmapSpec::new(Pfn::new(8), PageCount::new(u64::MAX - 8), PageCount::new(1)).is_err());
    // An altmap in use belongs to something else.
    let spec = spec(first, 2, 3070);
    let mut altmap = claim(spec);
    assert!(system.add(&mut altmap, request));
    system.remove(&mut altmap, frames(7 * SECTION, SECTION));
    let in_use = PageCount::new(3 * 512);
    assert_eq!(altmap.check_add(&system.model, system.rule, request), Err(AltmapError::InUse { in_use }));
    // What holds the altmap goes last.
    system.remove(&mut altmap, frames(8 * SECTION, DEVICE + DEVICE_BYTES - 8 * SECTION));
    system.remove(&mut altmap, frames(DEVICE, 7 * SECTION - DEVICE));
}

/// Room for the memmap, but nowhere at a multiple of 2 MiB: the array takes base pages, and a block has no place.
fn an_altmap_without_aligned_room_still_serves(backend: Backend) {
    let mut system = System::boot(backend);
    let request = frames(7 * SECTION, SECTION);
    let spec = spec(request.start(), 1, 512);
    let mut altmap = claim(spec);
    let digest = system.machine.state_digest();
    let fits = altmap.check_add(&system.model, system.rule, request).is_ok();
    assert_eq!(fits, system.rule == MemmapRule::ArrayLeaves);
    assert_eq!(system.add(&mut altmap, request), fits);
    if fits {
        assert_eq!((altmap.in_use().get(), altmap.skipped().get()), (512, 0));
        let base = system.machine.mirrored().filter(|leaf| leaf.size == LeafSize::Size4KiB).count();
        assert_eq!(base, 512);
        assert_eq!(system.backing(request.start()).get(), 7 * SECTION + 4096);
        system.use_descriptors(request);
        system.remove(&mut altmap, request);
    }
    assert_eq!((altmap.in_use().get(), system.machine.state_digest()), (0, digest));
}
