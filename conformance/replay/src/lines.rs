//! Lines of text inside a recording: tags and the resource tree.

use sparsemem_core::{Pfn, PfnRange, PhysAddr, PhysRange};

use super::kernel::Geo;
use super::resources::{LineKind, ResourceLine};
use super::script::TagRun;

/// A run of tags: `tag 128000..128512 type=12 id=0`.
pub(super) fn tag(line: &str) -> Result<TagRun, String> {
    parse_tag(line).ok_or_else(|| format!("`{line}` is not a run of tags"))
}

fn parse_tag(line: &str) -> Option<TagRun> {
    let mut words = line.strip_prefix("tag ")?.split(' ');
    let (first, end) = words.next()?.split_once("..")?;
    let kind = words.next()?.strip_prefix("type=")?.parse().ok().filter(|kind| (12..=14).contains(kind))?;
    let id = words.next()?.strip_prefix("id=")?.parse().ok()?;
    let pages = PfnRange::new(Pfn::new(first.parse().ok()?), Pfn::new(end.parse().ok()?)).ok()?;
    words.next().is_none().then_some(TagRun { pages, kind, id })
}

/// A line of the resource tree: `  30200000-5bdfffff : namespace0.0`.
pub(super) fn iomem(line: &str) -> Result<ResourceLine, String> {
    let wrong = || format!("`{line}` is not a line of a resource tree");
    let (range, name) = line.trim_start().split_once(" : ").ok_or_else(wrong)?;
    let frames = parse_range(range).ok_or_else(wrong)?.whole_frames::<Geo>();
    let kind = match name {
        "System RAM" => LineKind::Ram,
        _ if name.starts_with("System RAM (") => LineKind::Ram,
        _ if is_numbered(name, "namespace") => LineKind::Namespace,
        _ if is_numbered(name, "dax") => LineKind::Dax,
        _ => LineKind::Other,
    };
    Ok(ResourceLine { frames, kind })
}

/// True if a name is a prefix and a number: `dax0.0`.
fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// First and last address, hexadecimal.
fn parse_range(range: &str) -> Option<PhysRange> {
    let (first, last) = range.split_once('-')?;
    let first = u64::from_str_radix(first, 16).ok()?;
    let end = u64::from_str_radix(last, 16).ok()?.checked_add(1)?;
    PhysRange::new(PhysAddr::new(first), PhysAddr::new(end)).ok()
}

#[cfg(test)]
mod tests {
    use super::super::resources::LineKind;
    use super::{iomem, tag};

    #[test]
    fn tags_have_four_parts() {
        let run = tag("tag 128000..128512 type=12 id=3").unwrap();
        assert_eq!((run.pages.count().get(), run.kind, run.id), (512, 12, 3));
        for bad in ["tag 5..6 type=11 id=0", "tag 6..5 type=12 id=0", "tag 5..6 type=12", "5..6 type=12 id=0"]
        {
            assert_eq!(tag(bad), Err(format!("`{bad}` is not a run of tags")));
        }
    }

    #[test]
    fn ram_and_the_lines_of_devices_are_told_from_others() {
        let ram = iomem("00001000-0009fbff : System RAM").unwrap();
        assert_eq!((ram.frames.start().get(), ram.frames.end().get(), ram.kind), (1, 0x9f, LineKind::Ram));
        let namespace = iomem("  30200000-5bdfffff : namespace0.0").unwrap();
        assert!(namespace.kind == LineKind::Namespace && namespace.frames.count().get() == 700 << 8);
        for (name, kind) in [
            ("System RAM (kmem)", LineKind::Ram),
            ("dax0.0", LineKind::Dax),
            ("Persistent Memory (legacy)", LineKind::Other),
            ("daxian", LineKind::Other),
        ] {
            assert_eq!(iomem(&format!("30200000-5bdfffff : {name}")).unwrap().kind, kind);
        }
        assert!(iomem("30200000 : System RAM").is_err());
    }
}
