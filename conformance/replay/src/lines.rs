//! Lines of text inside a recording: tags and the resource tree.

use sparsemem_core::{Pfn, PfnRange, PhysAddr, PhysRange};

use super::script::{Geo, ResourceRow, TagRun};

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

/// A line of the resource tree: `  30200000-5bdfffff : namespace0.0`; `None` if it is neither RAM nor a device.
pub(super) fn iomem(line: &str) -> Result<Option<ResourceRow>, String> {
    let wrong = || format!("`{line}` is not a line of a resource tree");
    let (range, name) = line.trim_start().split_once(" : ").ok_or_else(wrong)?;
    let frames = parse_range(range).ok_or_else(wrong)?.whole_frames::<Geo>();
    let is_ram = name == "System RAM" || name.starts_with("System RAM (");
    let is_device = name.starts_with("namespace");
    Ok((is_ram || is_device).then_some(ResourceRow { frames, is_device }))
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
    fn only_ram_and_devices_are_kept() {
        let ram = iomem("00001000-0009fbff : System RAM").unwrap().unwrap();
        assert_eq!((ram.frames.start().get(), ram.frames.end().get(), ram.is_device), (1, 0x9f, false));
        let device = iomem("  30200000-5bdfffff : namespace0.0").unwrap().unwrap();
        assert!(device.is_device && device.frames.count().get() == 700 << 8);
        assert_eq!(iomem("30200000-5bdfffff : Persistent Memory (legacy)"), Ok(None));
        assert!(iomem("30200000 : System RAM").is_err());
    }
}
