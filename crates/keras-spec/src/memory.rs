//! Whether there is memory for what is about to be made: an allocation that fails ends the process, and one that Linux grants
//! without having the memory ends it later.

/// Up to so many bytes nobody is asked: the answer takes a small part of the time that it takes to fill them.
pub(crate) const UNDOUBTED: usize = 1 << 26;

/// Whether so many bytes can be allocated and filled, as far as the system says.
pub(crate) fn has_memory_for(bytes: usize) -> bool {
    can_allocate(bytes) && (bytes <= UNDOUBTED || available().is_none_or(|free| bytes as u64 <= free))
}

/// Whether so many bytes can be allocated, though perhaps not filled.
pub(crate) fn can_allocate(bytes: usize) -> bool {
    bytes <= UNDOUBTED || Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

/// How many bytes programs can fill before the system ends one; `None` where it does not say.
#[cfg(target_os = "linux")]
fn available() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let entry = |text: &str, name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let machine = read("/proc/meminfo")?;
    let of_machine = entry(&machine, "MemAvailable:")? + entry(&machine, "SwapFree:").unwrap_or(0);
    // What a container may have; what it holds of files goes when memory is wanted.
    let of_container = || {
        let number = |name: &str| read(&format!("/sys/fs/cgroup/memory.{name}"))?.trim().parse::<u64>().ok();
        let held = read("/sys/fs/cgroup/memory.stat")?;
        let files = entry(&held, "inactive_file ")? + entry(&held, "active_file ")?;
        Some(number("max")?.saturating_sub(number("current")?.saturating_sub(files)))
    };
    let of_machine = of_machine.saturating_mul(1024);
    Some(of_container().map_or(of_machine, |free| free.min(of_machine)))
}

#[cfg(not(target_os = "linux"))]
fn available() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_memory_without_end() {
        assert!(has_memory_for(1 << 20) && has_memory_for(UNDOUBTED + 1));
        assert!(!has_memory_for(usize::MAX) && !has_memory_for(1 << 46));
        if let Some(free) = available() {
            assert!(!has_memory_for(free.saturating_mul(2) as usize));
        }
    }
}
