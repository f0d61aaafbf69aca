//! Runtime of every image: what a guest does before, beside and after its own work. It knows no role.
//!
//! ```no_run
//! use fades_guest::{Identity, boot, exit};
//! use fades_wire::exit::ExitCode;
//! use fades_wire::ids::Role;
//!
//! let guest = boot(Identity { role: Role::Function, image: concat!("stats ", env!("CARGO_PKG_VERSION")) });
//! while let Ok(message) = guest.control.recv() {
//!     // Pings were answered, and a shutdown was followed, before they got here.
//! }
//! exit::end(ExitCode::Ok, "done");
//! ```
//!
//! [`boot`] installs the [`crash`] hooks, reads the boot parameters and opens the [`control`] channel, whose
//! reading thread answers pings whatever the application is doing. A guest that loses its orchestrator ends:
//! there is nothing that it could do for anyone else.
#![cfg_attr(
    target_os = "hermit",
    feature(alloc_error_hook) // unstable, but the one way to say that memory ran out; images are built with std from source
)]

pub mod control;
pub mod crash;
pub mod data;
pub mod exit;
pub mod heap;
pub mod log;
#[cfg(target_os = "hermit")]
pub mod region;
mod trace;
#[cfg(target_os = "hermit")]
mod wait;
#[cfg(target_os = "hermit")]
pub mod xen;

use control::{ControlChannel, Ended, Settings};
use fades_wire::PROTOCOL;
use fades_wire::boot::{BootError, GuestParameters};
use fades_wire::control::Hello;
use fades_wire::exit::ExitCode;
use fades_wire::ids::Role;

/// What an image says it is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// What it is for.
    pub role: Role,
    /// Name and version.
    pub image: &'static str,
}

/// A guest that is up.
#[derive(Debug)]
pub struct Boot {
    /// What the host told it.
    pub parameters: GuestParameters,
    /// Its connection to the orchestrator.
    pub control: ControlChannel,
}

/// Brings the guest up. Where that fails, the guest ends here, with its reason on the console.
#[must_use]
pub fn boot(identity: Identity) -> Boot {
    crash::install();
    let parameters = match parameters(identity.role, |name| std::env::var(name).ok()) {
        Ok(parameters) => parameters,
        Err(error) => exit::end(ExitCode::Boot, &exit::words(&error)),
    };
    let hello = Hello { protocol: PROTOCOL, role: identity.role, image: identity.image.into() };
    let settings = Settings { log: parameters.log, ..Settings::new(end) };
    match ControlChannel::connect(parameters.control, hello, settings) {
        Ok(control) => {
            crash::report_to(control.sender());
            Boot { parameters, control }
        }
        Err(error) => exit::end(error.exit_code(), &exit::words(&error)),
    }
}

fn end(ended: &Ended) {
    match ended {
        Ended::Shutdown => exit::end(ExitCode::Ok, "told to shut down"),
        Ended::Lost(error) => exit::end(error.exit_code(), &exit::words(error)),
    }
}

/// Why a guest's boot parameters are not for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// They are missing or mean nothing.
    #[error("boot parameters cannot be read")]
    Boot(#[from] BootError),
    /// They are those of another role.
    #[error("booted as {}, but this image is for {}", told.name(), own.name())]
    Role {
        /// What the host said.
        told: Role,
        /// What the image is for.
        own: Role,
    },
}

/// Reads the boot parameters of a guest of role `own`.
///
/// # Errors
/// They are missing, mean nothing, or are those of another role.
pub fn parameters(
    own: Role,
    lookup: impl FnMut(&'static str) -> Option<String>,
) -> Result<GuestParameters, ParameterError> {
    let parameters = GuestParameters::from_env(lookup)?;
    if parameters.role != own {
        return Err(ParameterError::Role { told: parameters.role, own });
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn read(own: Role, variables: &[(&str, &str)]) -> Result<GuestParameters, ParameterError> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        parameters(own, |name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn a_guest_serves_in_its_own_role_only() {
        let mut variables = [("FADES_ROLE", "dmf"), ("FADES_CONTROL", "10.77.0.1:7000"), ("FADES_LOG", "3")];
        assert_eq!(read(Role::Function, &variables).map(|parameters| parameters.log), Ok(3));
        let refusal = read(Role::Broker, &variables).unwrap_err();
        assert_eq!(refusal.to_string(), "booted as dmf, but this image is for drb");
        variables[0].1 = "cat";
        let refusal = exit::words(&read(Role::Broker, &variables).unwrap_err());
        assert_eq!(refusal, "boot parameters cannot be read: boot parameter FADES_ROLE is \"cat\"");
    }
}
