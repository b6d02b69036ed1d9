//! Devices, and the registration.

use std::sync::Arc;

use keras_spec::{BackendEntry, DynBackend, Error, Result};
use tch::{Cuda, Device};

use crate::{NAME, Tch};

keras_spec::register_backend!(ENTRY);

/// What this crate registers; for [`keras_spec::device::register_backend`] on targets without life before `main`.
///
/// Its priority is below that of `ndarray`: where both are linked, this one is chosen by name.
pub const ENTRY: BackendEntry = BackendEntry {
    name: NAME,
    priority: 5,
    // libtorch is linked: a program that it is missing for does not start.
    check: || Ok(()),
    make,
    devices: || available().into_iter().map(name).collect(),
};

/// The devices that are there, the best one first.
fn available() -> Vec<Device> {
    let cuda = if Cuda::is_available() { usize::try_from(Cuda::device_count()).unwrap_or(0) } else { 0 };
    let mps = tch::utils::has_mps().then_some(Device::Mps);
    (0..cuda).map(Device::Cuda).chain(mps).chain([Device::Cpu]).collect()
}

/// A device's name within the backend.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Mps => "mps".to_owned(),
        Device::Vulkan => "vulkan".to_owned(),
    }
}

/// Whether the device is there.
pub(crate) fn present(device: Device) -> Result<()> {
    if available().contains(&device) { Ok(()) } else { Err(absent(&name(device))) }
}

fn absent(asked: &str) -> Error {
    let there: Vec<String> = available().into_iter().map(name).collect();
    Error::NoBackend {
        asked: format!("{NAME}:{asked}"),
        why: format!("the devices of {NAME} are: {}", there.join(", ")),
    }
}

fn make(device: &str) -> Result<Arc<dyn DynBackend>> {
    let there = available();
    let found = if device.is_empty() { there.first() } else { there.iter().find(|&&d| name(d) == device) };
    match found {
        Some(&device) => Ok(Arc::new(Tch { device })),
        None => Err(absent(device)),
    }
}
