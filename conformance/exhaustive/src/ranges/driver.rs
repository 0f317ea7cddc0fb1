//! A booted model with all records of hotplug, driven by operations on ranges.

use sparsemem_core::{PfnRange, Retired};
use sparsemem_hotplug::{BlockSize, BlockState, Hotplug, Limits, Ram, ResourceKind, Storage};

use crate::engine::{Act, Driver, Layout, Machines};
use crate::environment::Environment;
use crate::instance::{Instance, Model, NODE, frames, runs_of};
use crate::ranges::allocator::Frames;
use crate::ranges::answers::About;
use crate::ranges::{Answer, Block, Op, Owner, RangeRules, RangeView, Verb};
use crate::shape::{CELLS, SECTIONS, Shape};
use crate::view::{View, settle};

/// An instance, changed through hotplug.
pub(crate) struct RangeMachines<'w, M>(pub(crate) Instance<'w, M>);

impl<M: Model> Machines<RangeRules> for RangeMachines<'_, M> {
    fn lend(&mut self, layout: Layout, act: Act<'_, RangeRules>) -> Result<(), String> {
        self.0.boot(layout);
        let (mut blocks, mut resources) = ([None; SECTIONS + 1], [None; CELLS + 2]);
        let storage = Storage { blocks: &mut blocks, notifiers: &mut [], resources: &mut resources };
        let Instance { model, environment, shape, probes, .. } = &mut self.0;
        let hotplug = Hotplug::new(&*model, Limits::new(BlockSize::SECTION), storage);
        let allocator = Frames::new(shape.first_frame(0));
        let mut driver = RangeDriver { hotplug, environment, allocator, shape: *shape, probes };
        driver.adopt(layout);
        act(&mut driver);
        self.0.tear_down()
    }
}

/// An instance that is booted.
struct RangeDriver<'s, M: Model> {
    hotplug: Hotplug<'s, M>,
    environment: &'s mut Environment,
    allocator: Frames,
    shape: Shape,
    probes: &'s [u64],
}

impl<M: Model> RangeDriver<'_, M> {
    /// Registers the memory of boot.
    fn adopt(&mut self, layout: Layout) {
        for (start, end) in runs_of(&self.shape, layout) {
            let run = frames(start, end);
            let adopted =
                run.bytes::<M::Geometry>().is_some_and(|bytes| self.hotplug.adopt_boot(bytes, NODE).is_ok());
            if !adopted {
                self.environment.complain();
            }
            self.allocator.boot(run);
        }
    }

    /// Applies an operation.
    fn run(&mut self, op: Op) -> Answer {
        let Self { hotplug, environment, allocator, .. } = self;
        let asked = frames(op.start, op.end);
        let about = About::new::<M>(asked);
        let done = match op.verb {
            Verb::AddMemory => {
                let ram = Ram::default().merging();
                hotplug.add_memory(*environment, asked, NODE, ram).map_err(|error| about.add_memory(error))
            }
            Verb::AddDevice => {
                hotplug.add_device(*environment, asked, NODE, "d").map_err(|error| about.add_device(error))
            }
            Verb::Online => hotplug.online(allocator, asked).map_err(|error| about.online(error)),
            Verb::Offline => hotplug.offline(allocator, asked).map_err(|error| about.offline(error)),
            Verb::RemoveMemory => {
                let removed = hotplug.remove_memory(*environment, asked);
                return removed.map_or_else(|error| about.removal(error), removed_answer);
            }
            Verb::RemoveDevice => {
                let removed = hotplug.remove_device(*environment, asked);
                return removed.map_or_else(|error| about.removal(error), removed_answer);
            }
        };
        done.map_or_else(|answer| answer, |()| Answer::Done { fresh: settle(hotplug.model(), &self.shape) })
    }

    fn look_at_blocks(&self, view: &mut RangeView) {
        for block in self.hotplug.blocks().iter() {
            let index = block.nr.get().checked_sub(self.shape.first_section);
            let index = index.and_then(|index| usize::try_from(index).ok());
            let place = index.filter(|index| *index < self.shape.sections);
            let known_node = block.node == Some(NODE);
            match place.and_then(|index| view.blocks.get_mut(index)).filter(|_| known_node) {
                Some(place) => *place = state(block.state),
                None => view.other_blocks += 1,
            }
        }
    }

    fn look_at_resources(&self, view: &mut RangeView) {
        let about = About::new::<M>(PfnRange::default());
        let mut places = view.resources.iter_mut();
        for resource in self.hotplug.resources().iter() {
            let owner = match resource.kind {
                ResourceKind::SystemRam => Owner::Ram,
                ResourceKind::Device => Owner::Device,
                _ => Owner::Other,
            };
            let (start, end) = about.frames_of(resource.range);
            match places.next() {
                Some(place) => *place = Some((start, end, owner)),
                None => view.more_resources += 1,
            }
        }
    }
}

impl<M: Model> Driver<RangeRules> for RangeDriver<'_, M> {
    fn apply(&mut self, op: Op) -> Answer {
        let digest = self.environment.digest();
        self.environment.begin();
        let answer = self.run(op);
        self.environment.end();
        let is_done = matches!(answer, Answer::Done { .. } | Answer::Removed { .. });
        if !is_done && self.environment.digest() != digest {
            self.environment.complain();
        }
        answer
    }

    fn observe(&mut self) -> RangeView {
        let mut view = RangeView {
            model: View::of(self.hotplug.model(), self.environment, &self.shape, self.probes),
            usable: self.allocator.usable,
            isolated: self.allocator.isolated,
            ..RangeView::default()
        };
        self.look_at_blocks(&mut view);
        self.look_at_resources(&mut view);
        view
    }
}

/// A removal must not lose blocks.
fn removed_answer(removed: Retired) -> Answer {
    let Retired { sections, gone, lost } = removed;
    if lost.is_empty() { Answer::Removed { sections, gone } } else { Answer::Misreported }
}

const fn state(of: BlockState) -> Block {
    match of {
        BlockState::Offline => Block::Offline,
        BlockState::Online => Block::Online,
        BlockState::GoingOnline | BlockState::GoingOffline => Block::Moving,
    }
}
