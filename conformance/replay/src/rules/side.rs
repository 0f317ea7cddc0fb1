//! One side of a comparison, Linux or this project: its memory and its altmaps after each operation.

use super::Rule;
use super::folded::Folded;
use super::ground::Ground;
use super::hosted::{Hosted, Style};
use crate::kernel::Geo;
use crate::script::{Op, Script};

/// A refusal that a rule predicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The altmap has no room.
    TooSmall,
    /// Neighbours have descriptors in the altmap. These operations would add them.
    StillNeeded(Vec<Op>),
    /// Descriptors cannot share memory.
    Unfoldable,
}

impl Refusal {
    /// The rule.
    pub(crate) const fn rule(&self) -> Rule {
        match self {
            Self::TooSmall => Rule::AltmapTooSmall,
            Self::StillNeeded(_) => Rule::AltmapStillNeeded,
            Self::Unfoldable => Rule::Unfoldable,
        }
    }
}

/// Memory, devices and altmaps by the rules of a side.
pub(super) struct Side<'s> {
    script: &'s Script,
    style: Style,
    /// The memory.
    pub(super) ground: Ground,
    /// Descriptors in altmaps.
    pub(super) hosted: Hosted,
    /// Large pages whose descriptors are folded.
    pub(super) folded: Folded,
    /// The operations that added what is there now.
    added: Vec<Op>,
}

impl<'s> Side<'s> {
    /// A side before boot.
    pub(super) fn new(script: &'s Script, style: Style) -> Self {
        let (ground, hosted) = (Ground::default(), Hosted::new(style));
        Self { script, style, ground, hosted, folded: Folded::default(), added: Vec::new() }
    }

    /// The refusal that the rules predict.
    pub(super) fn refusal(&self, op: Op) -> Option<Refusal> {
        if self.style != Style::Blocks {
            return None;
        }
        if op.compound().is_some() {
            return Some(Refusal::Unfoldable);
        }
        if let (Some(frames), Some(altmap)) = (op.added(), op.altmap()) {
            return self.hosted.clone().add(frames, altmap, &self.ground).err().map(|_| Refusal::TooSmall);
        }
        let frames = op.removed()?;
        let needed = self.hosted.needed_without(frames, &self.ground);
        let shares = |op: &&Op| {
            let other = op.added().filter(|other| *other != frames).unwrap_or_default();
            other.by_section::<Geo>().any(|(nr, _)| needed.contains(&nr))
        };
        let neighbours: Vec<Op> = self.added.iter().filter(shares).copied().collect();
        (!needed.is_empty()).then_some(Refusal::StillNeeded(neighbours))
    }

    /// Follows an operation.
    pub(super) fn apply(&mut self, op: Op) {
        if op == Op::Boot {
            self.ground.boot(&self.script.memory);
        }
        if let Some(frames) = op.added() {
            if let Some(altmap) = op.altmap() {
                // If Linux has no room by the rules, the comparison shows it.
                let _ = self.hosted.add(frames, altmap, &self.ground);
            }
            if let Some(order) = op.compound() {
                self.folded.add(frames, order, &self.ground);
            }
            self.ground.add(frames);
            self.added.push(op);
        }
        if let Some(frames) = op.removed() {
            self.ground.remove(frames);
            self.hosted.remove(frames, &self.ground);
            self.folded.remove(frames);
            self.added.retain(|op| !op.added().is_some_and(|added| frames.contains_range(added)));
        }
    }
}
