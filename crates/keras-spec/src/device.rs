//! Devices, and how backends are found: explicit choice, `KERAS_BACKEND`, or the best one that works.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::backend::DynBackend;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// A backend that programs can ask for by name.
///
/// A backend crate submits one with [`register_backend!`](crate::register_backend!); the application must mention the crate
/// (`use backend_ndarray as _;`), or the linker drops it together with its registration. Targets without code before
/// `main` call [`register_backend`].
#[derive(Clone, Copy, Debug)]
pub struct BackendEntry {
    /// The name in `KERAS_BACKEND` and [`Device::new`].
    pub name: &'static str,
    /// Among backends whose check passes the highest is chosen.
    pub priority: i32,
    /// Whether the library, driver or hardware is there; the reason, if not.
    pub check: fn() -> Result<(), String>,
    /// Opens a device: one of [`devices`](Self::devices), or `""` for the best one.
    pub make: fn(device: &str) -> Result<Arc<dyn DynBackend>>,
    /// The names of the devices that are there; only asked where the check passes.
    pub devices: fn() -> Vec<String>,
}

inventory::collect!(BackendEntry);

/// Registers a [`BackendEntry`] when the program is linked.
///
/// ```
/// use keras_spec::{BackendEntry, Device, Error, register_backend};
///
/// register_backend!(BackendEntry {
///     name: "abacus",
///     priority: 0,
///     check: || Err("the beads are missing".to_owned()),
///     devices: || vec!["cpu".to_owned()],
///     make: |device| Err(Error::other(format!("{device} has no beads"))),
/// });
///
/// assert!(Device::new("abacus").unwrap_err().to_string().contains("the beads are missing"));
/// ```
#[macro_export]
macro_rules! register_backend {
    ($entry:expr) => {
        $crate::inventory::submit! { $entry }
    };
}

#[derive(Default)]
struct Global {
    registered: Vec<BackendEntry>,
    open: BTreeMap<String, Device>,
    chosen: Option<Device>,
}

fn global() -> MutexGuard<'static, Global> {
    static GLOBAL: OnceLock<Mutex<Global>> = OnceLock::new();
    GLOBAL.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a backend at run time, for targets where `inventory` does not work (WebAssembly) and for tests.
///
/// # Errors
/// [`Error::Argument`] if another backend has the name.
pub fn register_backend(entry: BackendEntry) -> Result<()> {
    if backends().iter().any(|e| e.name == entry.name) {
        return Err(Error::argument("name", "a name that no other backend has", entry.name));
    }
    global().registered.push(entry);
    Ok(())
}

/// Every registered backend, the most preferred first.
pub fn backends() -> Vec<BackendEntry> {
    let mut all: Vec<BackendEntry> = inventory::iter::<BackendEntry>
        .into_iter()
        .copied()
        .chain(global().registered.iter().copied())
        .collect();
    all.sort_by_key(|e| (-e.priority, e.name));
    all
}

/// Chooses the backend (`"ndarray"`, `"candle:cuda:0"`, …) of tensors and models that are made from now on.
///
/// # Errors
/// [`Error::NoBackend`], as for [`Device::new`].
pub fn set_backend(name: &str) -> Result<Device> {
    let device = Device::new(name)?;
    global().chosen = Some(device);
    Ok(device)
}

/// Where tensors live: a backend on one of its devices. Once opened it stays open until the program ends.
#[derive(Clone, Copy)]
pub struct Device(&'static Arc<dyn DynBackend>);

impl Device {
    /// Opens a device: a backend's name, alone or with a device of it (`ndarray`, `tch:cuda:0`). The same name gives the
    /// same device each time.
    ///
    /// # Errors
    /// [`Error::NoBackend`] with the backends that there are, the checks that failed, and what to add.
    pub fn new(name: &str) -> Result<Self> {
        if let Some(open) = global().open.get(name) {
            return Ok(*open);
        }
        let (backend, device) = name.split_once(':').unwrap_or((name, ""));
        let all = backends();
        let entry = all.iter().find(|e| e.name == backend).ok_or_else(|| no_backend(name, &all))?;
        (entry.check)().map_err(|why| Error::NoBackend { asked: name.to_owned(), why })?;
        let devices = (entry.devices)();
        if !device.is_empty() && !devices.iter().any(|known| known == device) {
            let why = format!("the devices of {backend} are: {}", devices.join(", "));
            return Err(Error::NoBackend { asked: name.to_owned(), why });
        }
        let made = (entry.make)(device)?;
        // Every tensor copies its device: counting references would cost more than small operations do.
        Ok(*global().open.entry(name.to_owned()).or_insert_with(|| Device(Box::leak(Box::new(made)))))
    }

    /// The device of tensors that say nothing else: that of [`set_backend`], else of the environment variable
    /// `KERAS_BACKEND`, else of the registered backend with the highest priority whose check passes.
    ///
    /// # Errors
    /// [`Error::NoBackend`] if there is none.
    pub fn default_device() -> Result<Self> {
        if let Some(chosen) = global().chosen {
            return Ok(chosen);
        }
        let device = match std::env::var("KERAS_BACKEND") {
            Ok(name) if !name.is_empty() => Device::new(&name)?,
            _ => {
                let all = backends();
                let entry =
                    all.iter().find(|e| (e.check)().is_ok()).ok_or_else(|| no_backend("any", &all))?;
                Device::new(entry.name)?
            }
        };
        global().chosen.get_or_insert(device);
        Ok(device)
    }

    /// The backend's name.
    pub fn backend_name(&self) -> &str {
        self.0.name()
    }

    /// Whether tensors of this dtype exist here.
    pub fn supports(&self, dtype: DType) -> bool {
        self.0.supports(dtype)
    }

    /// The erased backend.
    pub fn backend(&self) -> &'static dyn DynBackend {
        &**self.0
    }
}

fn no_backend(asked: &str, all: &[BackendEntry]) -> Error {
    let listed = if all.is_empty() {
        "none is linked".to_owned()
    } else {
        let one = |e: &BackendEntry| match (e.check)() {
            Ok(()) => format!("{} (devices: {})", e.name, (e.devices)().join(", ")),
            Err(why) => format!("{} (unusable: {why})", e.name),
        };
        format!("linked are {}", all.iter().map(one).collect::<Vec<_>>().join(", "))
    };
    Error::NoBackend {
        asked: asked.to_owned(),
        why: format!(
            "{listed}; enable the feature of that name of the crate `keras`, or for a backend of another crate add the \
             line `use that_crate as _;`"
        ),
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Device {}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.name(), self.0.device())
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_backend_is_an_error_that_says_what_to_add() {
        let e = Device::new("nonesuch").unwrap_err().to_string();
        assert!(e.contains("nonesuch") && e.contains("use that_crate as _;"), "{e}");
    }
}
