//! Compares a map with everything else that the same log says.
//!
//! # Invariants
//!
//! 1. A figure is compared only where kernels of all ages mean the same by it, or where the form of the line tells which
//!    meaning it has. A log that is right has no contradiction.
//! 2. Old kernels of 32 bits count every page up to the highest, holes included: a figure that is the end of RAM agrees
//!    too, if the map is in the notation of their time.

mod evidence;
mod others;
mod ranges;

use sparsemem_core::{NodeId, PhysRange};

use crate::boot::Boot;
use crate::facts::Fact;
use crate::frames::{FRAME_BYTES, whole};
use crate::{
    Agreement, Contradiction, Figure, Layout, LineError, MapTable, Notation, Quantity, Subject, addresses,
};

/// The figures and lines of the log that disagree with the layout, and the figures that agree with it.
pub(crate) fn of(
    boot: &Boot,
    table: &MapTable,
    layout: &Layout,
    warnings: &[LineError],
) -> (Vec<Contradiction>, Vec<Agreement>) {
    let mut check = Check::new(boot, table, layout);
    check.contradictions.extend(warnings.iter().cloned().map(Contradiction::Unreadable));
    check.contradictions.extend(boot.gaps.iter().cloned());
    check.gaps();
    check.earlier_table();
    check.early_ranges();
    for (line, fact) in &boot.facts {
        check.fact(*line, fact);
    }
    check.zones();
    check.unavailable();
    check.first_row();
    check.some_ram();
    check.saved();
    check.high_memory();
    check.command_line();
    check.nodes_of_memory();
    check.firmware_map();
    check.listing();
    check.agreements.sort_by_key(|agreement| agreement.subject);
    (check.contradictions, check.agreements)
}

/// Pages up to 64 KiB, which kernels of 3.0 keep back.
const LOW_PAGES: u64 = 16;

/// The address at which the memory of every PC goes on above its BIOS.
const EXTENDED: u64 = 0x10_0000;

/// Bytes that a kernel of 32 bits without high memory addresses directly.
const LOW_MEMORY: u64 = 896 << 20;

/// A map under comparison.
struct Check<'a> {
    boot: &'a Boot,
    table: &'a MapTable,
    nodes: u64,
    memory: Vec<(PhysRange, NodeId)>,
    /// The end of RAM, or of the one range that a flat kernel registered.
    top: u64,
    page_bytes: u64,
    /// The kernel registered one range up to the highest page, holes included.
    is_flat: bool,
    contradictions: Vec<Contradiction>,
    agreements: Vec<Agreement>,
}

impl<'a> Check<'a> {
    fn new(boot: &'a Boot, table: &'a MapTable, layout: &Layout) -> Self {
        let memory: Vec<_> = layout.memory_ranges().collect();
        let mut top = memory.last().map_or(0, |(range, _)| range.end().get());
        let early = early_table(boot).map(|table| table.entries.as_slice()).unwrap_or_default();
        let is_flat = match early {
            [] => boot.is_old,
            [one] => {
                let end = one.range.end().get();
                let is_whole = end == top || boot.limit.is_some_and(|(_, limit)| end == limit && end > top);
                boot.is_old && one.range.start().get() == 0 && is_whole && memory.len() > 1
            }
            _ => false,
        };
        if let (true, [one]) = (is_flat, early) {
            top = one.range.end().get();
        }
        let page_bytes = boot.page_bytes();
        let nodes = layout.nodes().count() as u64;
        let (contradictions, agreements) = (Vec::new(), Vec::new());
        Self { boot, table, nodes, memory, top, page_bytes, is_flat, contradictions, agreements }
    }

    /// Files two figures.
    fn compare(&mut self, subject: Subject, line: usize, agrees: bool, said: Quantity, read: Quantity) {
        self.compare_lines(subject, (line, line), agrees, said, read);
    }

    /// Files two figures, of which the log says the first in several lines.
    fn compare_lines(
        &mut self,
        subject: Subject,
        (first_line, last_line): (usize, usize),
        agrees: bool,
        said: Quantity,
        read: Quantity,
    ) {
        let said = Figure { quantity: said, first_line, last_line };
        if agrees {
            self.agreements.push(Agreement { subject, said });
        } else {
            let (first_line, last_line) = (self.table.first_line, self.table.last_line);
            let read = Figure { quantity: read, first_line, last_line };
            self.contradictions.push(Contradiction::Figures { subject, said, read });
        }
    }

    /// Files RAM that the log has in these lines, and the map does not.
    fn only_said(&mut self, subject: Subject, lines: (usize, usize), range: PhysRange) {
        self.compare_lines(subject, lines, false, Quantity::RamAt(range), Quantity::NoRamAt(range));
    }

    /// Files RAM that the map has, and these lines of the log do not.
    fn only_mapped(&mut self, subject: Subject, lines: (usize, usize), range: PhysRange) {
        self.compare_lines(subject, lines, false, Quantity::NoRamAt(range), Quantity::RamAt(range));
    }

    /// Whole pages of the memory that a node has, of all memory without a node.
    fn pages(&self, node: Option<NodeId>) -> u64 {
        let own = self.memory.iter().filter(|(_, owner)| node.is_none_or(|node| node == *owner));
        own.map(|(range, _)| whole(*range, self.page_bytes).count().get() / self.page_bytes).sum()
    }

    /// True if the map is one of boot time: listings of a running system have what was plugged later.
    fn is_boot_map(&self) -> bool {
        let notation = self.table.notation;
        let of_running = [Notation::IOMEM, Notation::LSMEM, Notation::MEMORY_BLOCKS, Notation::EFI];
        let is_listed = notation != Notation::SRAT || self.boot.lists_memory;
        is_listed && !of_running.contains(&notation) && notation != Notation::XEN_HYPERVISOR
    }

    /// Compares one figure.
    fn fact(&mut self, line: usize, fact: &Fact) {
        match fact {
            Fact::Online { bytes, rounding } if self.table.notation == Notation::LSMEM => {
                let own: u64 = self.memory.iter().map(|(range, _)| range.count().get()).sum();
                let agrees = own.abs_diff(*bytes) <= *rounding;
                let kibibytes = |bytes: u64| Quantity::Kibibytes(bytes >> 10);
                self.compare(Subject::Online, line, agrees, kibibytes(*bytes), kibibytes(own));
            }
            Fact::EarlyRows(rows) => self.early_rows(line, *rows),
            Fact::AllocatorRows(rows) => {
                let tables = self.boot.tables.iter().rev();
                let mut found =
                    tables.filter(|table| table.notation == Notation::MEMBLOCK && table.last_line > line);
                let found = found.next_back().map_or(0, |table| table.entries.len());
                let count = |rows: usize| Quantity::Count(rows as u64);
                self.compare(Subject::AllocatorRows, line, found == *rows, count(*rows), count(found));
            }
            Fact::Nodes(nodes) => {
                let (said, read) = (Quantity::Count(*nodes), Quantity::Count(self.nodes));
                self.compare(Subject::Nodes, line, said == read, said, read);
            }
            Fact::Banks { mebibytes, count } => self.banks(line, *mebibytes, *count),
            Fact::HypervisorRam(kibibytes) if self.table.notation == Notation::XEN_HYPERVISOR => {
                let own = self.pages(None).saturating_mul(self.page_bytes) >> 10;
                let agrees = own.abs_diff(*kibibytes) <= own / 16;
                let (said, read) = (Quantity::Kibibytes(*kibibytes), Quantity::Kibibytes(own));
                self.compare(Subject::Ram, line, agrees, said, read);
            }
            _ if self.is_boot_map() => self.boot_fact(line, fact),
            _ => {}
        }
    }

    /// Compares one figure of boot time.
    fn boot_fact(&mut self, line: usize, fact: &Fact) {
        match fact {
            Fact::TotalPages(node, pages) => self.total_pages(line, *node, *pages),
            Fact::LastFrame(frame) => self.last_frame(line, *frame),
            Fact::NodeSpan(node, span) => self.node_span(line, *node, *span, EXTENDED),
            Fact::Faked(span) => self.node_span(line, NodeId::new(0), *span, u64::MAX),
            Fact::Available { kibibytes, holes } => self.available(line, *kibibytes, *holes),
            Fact::TopAndTotal(top, total) => self.top_and_total(line, *top, *total),
            _ => {}
        }
    }

    fn early_rows(&mut self, line: usize, rows: usize) {
        let found = early_table(self.boot).map_or(0, |table| table.entries.len());
        let count = |rows: usize| Quantity::Count(rows as u64);
        self.compare(Subject::EarlyRanges, line, rows == found, count(rows), count(found));
    }

    fn total_pages(&mut self, line: usize, node: NodeId, pages: u64) {
        let own = self.pages(Some(node));
        let is_a_size = |bytes: u64| {
            self.boot.frame_bytes.is_none() && pages.checked_mul(bytes) == own.checked_mul(FRAME_BYTES)
        };
        // Early ranges that begin later than the map are those of kernels that keep back the lowest 64 KiB.
        let early = early_table(self.boot).map_or(0, |table| {
            let own = table.entries.iter().filter(|entry| entry.node == Some(node));
            own.map(|entry| entry.range.count().get() / self.page_bytes).sum()
        });
        let agrees = own == pages
            || early == pages && own.abs_diff(pages) < LOW_PAGES
            || self.is_flat && pages <= self.top / self.page_bytes && pages >= own
            || self.boot.is_old && self.kept_low(pages)
            || self.are_all_clusters(pages)
            || [0x4000, 0x1_0000].into_iter().any(is_a_size);
        self.compare(Subject::NodePages(node), line, agrees, Quantity::Pages(pages), Quantity::Pages(own));
    }

    /// True if a kernel of 2.4 without high memory counts so many pages: what it can address directly.
    fn kept_low(&self, pages: u64) -> bool {
        pages.checked_mul(self.page_bytes) == Some(LOW_MEMORY) && self.top > LOW_MEMORY
    }

    /// True if a kernel of 2.4 on Alpha counts so many pages: those up to the end of the console's clusters.
    fn are_all_clusters(&self, pages: u64) -> bool {
        let end = self.table.entries.iter().map(|entry| entry.range.end().get()).max();
        self.table.notation == Notation::CLUSTERS && pages.checked_mul(self.page_bytes) == end
    }

    fn last_frame(&mut self, line: usize, frame: u64) {
        let end = self.top / FRAME_BYTES;
        let low = self.memory.iter().map(|(range, _)| range.end().get()).filter(|end| *end <= 1 << 32).max();
        let low = low.unwrap_or(0) / FRAME_BYTES;
        // Before an edit at the top the end was higher.
        let before_edit = frame > end && self.boot.taken() > Some(line);
        if !before_edit {
            let agrees = frame == end || frame == low;
            let address = |frame: u64| Quantity::Address(frame.saturating_mul(FRAME_BYTES));
            self.compare(Subject::EndOfRam, line, agrees, address(frame), address(end));
        }
    }

    /// A span that begins at 0, or where PCs do, may have its memory up to `latest` only.
    fn node_span(&mut self, line: usize, node: NodeId, span: PhysRange, latest: u64) {
        let mut own = self.memory.iter().filter(|(_, owner)| *owner == node).map(|(range, _)| *range);
        let first = own.next();
        let last = own.next_back().or(first);
        let (Some(first), Some(last)) = (first, last) else {
            return self.only_said(Subject::NodeSpan(node), (line, line), span);
        };
        let hull = addresses::between(first.start().get(), last.end().get());
        let is_low = [0, 0x1_0000].contains(&span.start().get()) && hull.start().get() <= latest;
        let starts = hull.start() == span.start() || is_low;
        let agrees = starts && hull.end() == span.end();
        self.compare(Subject::NodeSpan(node), line, agrees, Quantity::RamAt(span), Quantity::RamAt(hull));
    }

    /// Kernels that count banks plug no memory later, so that a listing of the running system has the same.
    fn banks(&mut self, line: usize, mebibytes: u64, count: u64) {
        let own: u64 = self.memory.iter().map(|(range, _)| range.count().get() >> 10).sum();
        let said = mebibytes.saturating_mul(1024);
        let agrees = own >= said && own - said <= count.saturating_mul(1024);
        self.compare(Subject::Ram, line, agrees, Quantity::Kibibytes(said), Quantity::Kibibytes(own));
    }

    fn available(&mut self, line: usize, kibibytes: u64, holes: bool) {
        let own = self.pages(None).saturating_mul(self.page_bytes) >> 10;
        let end = self.top >> 10;
        let kept_back = own.abs_diff(kibibytes) <= 60;
        let flat = holes && kibibytes <= end && (self.boot.is_old || self.is_flat);
        let flat = flat
            && (kibibytes == end
                || kibibytes >= own
                || self.kept_low(kibibytes.saturating_mul(1024) / self.page_bytes));
        let up_to_end = holes && kibibytes == end;
        let agrees = own == kibibytes || kept_back || flat || up_to_end;
        self.compare(Subject::Ram, line, agrees, Quantity::Kibibytes(kibibytes), Quantity::Kibibytes(own));
    }
}

/// The early ranges of a boot.
fn early_table(boot: &Boot) -> Option<&MapTable> {
    boot.tables.iter().rev().find(|table| table.notation == Notation::EARLY_NODE_RANGES)
}
