//! Lies about models, each of which a scenario has to catch.

/// What is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Boot sections are not early.
    NotEarly,
    /// Every subsection is populated.
    AllSubsections,
    /// Nobody is told of shared sections.
    SilentSharing,
    /// There was one run.
    OneRun,
    /// Memory below what was reported before is not taken.
    NeedsOrder,
    /// Nothing is a run of its own.
    RunOfNothing,
    /// Nobody is told of frames beyond the maximum.
    SilentMaximum,
    /// A second boot is no error.
    BootsTwice,
    /// Nobody is told of lost sections.
    SilentLoss,
    /// A section that works is told to be lost, whenever another one is.
    LoudLoss,
    /// High bits of frame numbers are ignored.
    HighAlias,
    /// The last frame of a section has no descriptor.
    NoneAtTop,
    /// Frames beyond the maximum are in absent sections.
    OtherReason,
    /// A descriptor belongs to the next frame.
    NextFrame,
    /// Two frames share a descriptor.
    PairsShare,
    /// Holes have no descriptors.
    HolesAbsent,
    /// Holes are online.
    HolesOnline,
    /// A descriptor is not zero after boot.
    Dirty,
    /// The last section is not walked over.
    ForgetsLast,
    /// Walks over frames go beyond the end.
    Overruns,
    /// Walks look at each section number.
    LooksAtAll,
    /// The page tables have nothing.
    NotMapped,
    /// There is a mapping that nobody needs.
    IdleLeaf,
    /// All mappings are small.
    SmallLeaves,
    /// A memmap takes less than it does.
    CheapMemmap,
    /// Everything can be read.
    NothingFaults,
    /// A block is not given back.
    Leaks,
    /// The second boot finds another number of runs.
    OtherSecondBoot,
    /// A reader does not see the first frame of a section.
    BlindReader,
    /// Nothing goes online.
    StaysOffline,
    /// A device that goes is still there.
    KeepsDevices,
    /// Who gets frames finds in their descriptors what the last one left.
    KeepsWords,
    /// RAM that goes is still there.
    KeepsMemory,
    /// What is not possible is said to be done.
    NeverRefuses,
    /// A refusal to go online leaves memory added.
    LeavesSomething,
    /// The memmap always comes from RAM.
    IgnoresAltmap,
    /// Descriptors of what comes into use are not initialised.
    NeverInitialises,
}
