//! Core affinity of threads. The only file that names core_affinity.

/// Returns the cores that the calling thread may run on, or `None` if the kernel does not report them.
pub(crate) fn allowed_cores() -> Option<Vec<usize>> {
    core_affinity::get_core_ids().map(|ids| ids.into_iter().map(|core| core.id).collect())
}

/// Pins the calling thread to `core`. Returns `false` if the kernel refuses.
pub(crate) fn pin_thread(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}
