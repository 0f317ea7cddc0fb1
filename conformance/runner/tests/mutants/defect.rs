//! Defects of models, each of which a scenario must catch.

/// A defect of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Boot sections are not early.
    NotEarly,
    /// Every subsection is populated.
    AllSubsections,
    /// Boot does not report shared sections.
    SilentSharing,
    /// Boot reports a single run.
    OneRun,
    /// Boot ignores memory below memory that was reported before.
    NeedsOrder,
    /// Boot without memory reports a run.
    RunOfNothing,
    /// Boot does not report frames beyond the maximum.
    SilentMaximum,
    /// A second boot is not an error.
    BootsTwice,
    /// Boot does not report lost sections.
    SilentLoss,
    /// When boot loses a section, it also reports a working one as lost.
    LoudLoss,
    /// High bits of frame numbers are ignored.
    HighAlias,
    /// The last frame of a section has no descriptor.
    NoneAtTop,
    /// Frames beyond the maximum are reported as being in absent sections.
    OtherReason,
    /// A descriptor belongs to the next frame.
    NextFrame,
    /// Two frames share a descriptor.
    PairsShare,
    /// Holes have no descriptors.
    HolesAbsent,
    /// The model says that holes are not valid, and they are.
    HolesDenied,
    /// It says that it is exact by frame, and is not.
    ClaimsFrames,
    /// It finds the descriptor of the frame before a hole for the first frame of the hole.
    HolesFound,
    /// Its walk over valid frames goes through holes.
    HolesWalked,
    /// Holes are online.
    HolesOnline,
    /// A boot that waits makes all memmaps.
    BootsAtOnce,
    /// Marked sections have no node.
    ForgetsNode,
    /// A section that is up is brought up again.
    BringsUpAgain,
    /// A section that cannot be brought up is absent afterwards.
    ForgetsMark,
    /// A descriptor is not zero after boot.
    Dirty,
    /// Walks leave out the last section.
    ForgetsLast,
    /// Walks over frames go beyond the end.
    Overruns,
    /// Walks visit each section number.
    LooksAtAll,
    /// The page tables are empty.
    NotMapped,
    /// There is a mapping without a descriptor of a valid frame.
    IdleLeaf,
    /// All mappings are small.
    SmallLeaves,
    /// The model reports too few bytes for a memmap.
    CheapMemmap,
    /// The model reports other bytes of planes than it has.
    OtherPlanes,
    /// Every address can be read.
    NothingFaults,
    /// A block is not given back.
    Leaks,
    /// The second boot finds another number of runs.
    OtherSecondBoot,
    /// A reader does not find the first frame of a section.
    BlindReader,
    /// Nothing comes online.
    StaysOffline,
    /// A removed device stays.
    KeepsDevices,
    /// A removed device takes the first descriptor after its own along.
    TakesNeighbours,
    /// Descriptors keep the words of the frames' previous user.
    KeepsWords,
    /// Removed RAM stays.
    KeepsMemory,
    /// An impossible request succeeds without an effect.
    NeverRefuses,
    /// If memory cannot come online, it stays added.
    LeavesSomething,
    /// The memmap always comes from RAM.
    IgnoresAltmap,
    /// Memory is removed with any environment.
    TakesAnyAltmap,
    /// The tails of large pages have descriptors of their own.
    NeverFolds,
    /// A head loses its word when its compound is folded.
    LosesWords,
    /// Compounds stay folded.
    NeverUnfolds,
    /// Descriptors of frames that come into use are not initialised.
    NeverInitialises,
}
