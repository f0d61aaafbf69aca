//! The hypercalls, typed.
//!
//! [`Call`] is the trap itself; [`Hypercalls`] puts the arguments in the form of Xen's public headers and reads
//! the answers. Everything that can take memory from under somebody's feet is `unsafe`; the safe forms are in
//! [`page`](crate::page). Numbers and structures are pinned by the tests and by the assertions in `abi`.
//!
//! A hypercall argument is a pointer that Xen translates by the guest's own page tables, so it must point to
//! ordinary mapped memory: the structures are on our stack.

mod abi;
mod errors;

use core::ptr::from_mut;

pub use errors::{GrantStatus, HypercallError};

use crate::detect::Instruction;
use crate::grant::GrantRef;
use crate::shared::Frame;

/// A domain's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(pub u16);

impl Domain {
    /// The domain that calls.
    pub const SELF: Self = Self(0x7ff0);
}

/// The guest's end of an event channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u32);

/// What a mapping or a grant lets the other side do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// Xen's number for a mapped grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(u32);

#[cfg(test)]
impl Handle {
    pub(crate) const fn for_tests() -> Self {
        Self(99)
    }
}

/// Pages of Xen's own that a guest may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapSpace {
    /// The shared information page; index 0.
    SharedInfo = 0,
    /// Frame `index` of the grant table, which grows to hold it.
    GrantTable = 1,
}

/// Parameters of a domain that the guest may read (or, the first, write).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Param {
    /// How events are told, see [`callback_vector`].
    CallbackIrq = 0,
    /// Frame of XenStore's ring.
    StoreFrame = 1,
    /// Port of XenStore's ring.
    StorePort = 2,
    /// Frame of the console's ring.
    ConsoleFrame = 17,
    /// Port of the console's ring.
    ConsolePort = 18,
}

/// Why a domain goes down, as `sched_op` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Shutdown {
    /// It has done what it was for.
    Poweroff = 0,
    /// It wants to be started again.
    Reboot = 1,
    /// It cannot go on.
    Crash = 3,
}

/// The value of [`Param::CallbackIrq`] that has events delivered as interrupt `vector`, past the local APIC: there
/// is nothing to acknowledge but the pending flag in the shared information.
pub const fn callback_vector(vector: u8) -> u64 {
    2 << 56 | vector as u64
}

/// Who can trap into Xen.
///
/// # Safety
/// `call` does what Xen's interface says of hypercall `number` and nothing more.
pub unsafe trait Call {
    /// Executes hypercall `number` and returns RAX.
    ///
    /// # Safety
    /// The arguments are those that the hypercall wants: pointers point to its structures, and memory that it
    /// changes or takes away is the caller's to give.
    unsafe fn call(&self, number: u64, arguments: [u64; 3]) -> i64;
}

/// The trap of this processor.
#[derive(Clone, Copy, Debug)]
pub struct Processor(Instruction);

#[cfg(target_arch = "x86_64")]
// SAFETY: the two instructions trap into the hypervisor with number and arguments where Xen looks for them.
unsafe impl Call for Processor {
    unsafe fn call(&self, number: u64, [first, second, third]: [u64; 3]) -> i64 {
        let result;
        // SAFETY: the caller vouches for the arguments. Xen writes RAX, and, where it continues a long call, the
        // argument registers; it keeps all others and does not touch the stack. In memory it may write whatever
        // the arguments point to, which the compiler assumes of assembly that does not say otherwise.
        unsafe {
            match self.0 {
                Instruction::Vmcall => core::arch::asm!(
                    "vmcall",
                    inlateout("rax") number => result,
                    inlateout("rdi") first => _,
                    inlateout("rsi") second => _,
                    inlateout("rdx") third => _,
                    options(nostack)
                ),
                Instruction::Vmmcall => core::arch::asm!(
                    "vmmcall",
                    inlateout("rax") number => result,
                    inlateout("rdi") first => _,
                    inlateout("rsi") second => _,
                    inlateout("rdx") third => _,
                    options(nostack)
                ),
            }
        }
        result
    }
}

#[cfg(not(target_arch = "x86_64"))]
// SAFETY: it does nothing.
unsafe impl Call for Processor {
    /// These are instructions of x86-64, and [`crate::detect::here`] finds no Xen elsewhere: "no such function".
    unsafe fn call(&self, _number: u64, _arguments: [u64; 3]) -> i64 {
        let Self(Instruction::Vmcall | Instruction::Vmmcall) = self;
        -38
    }
}

/// What drivers need of event channels.
pub trait Ports {
    /// A new port that `remote` may bind to.
    ///
    /// # Errors
    /// What Xen says, [`HypercallError::NoSpace`] when all ports are taken.
    fn alloc_unbound(&self, remote: Domain) -> Result<Port, HypercallError>;

    /// A new port, bound to the port of `remote` that waits for us. Begins with an event pending.
    ///
    /// # Errors
    /// What Xen says, [`HypercallError::Invalid`] if there is no such port or it is not for us.
    fn bind_interdomain(&self, remote: Domain, port: Port) -> Result<Port, HypercallError>;

    /// Tells the other end.
    ///
    /// # Errors
    /// What Xen says, [`HypercallError::Invalid`] if this is no open port.
    fn send(&self, port: Port) -> Result<(), HypercallError>;

    /// Gives the port back.
    ///
    /// # Errors
    /// What Xen says, [`HypercallError::Invalid`] if this is no open port.
    fn close(&self, port: Port) -> Result<(), HypercallError>;

    /// Clears the port's mask, and delivers what came meanwhile.
    ///
    /// # Errors
    /// What Xen says, [`HypercallError::Invalid`] if there is no such port.
    fn unmask(&self, port: Port) -> Result<(), HypercallError>;
}

impl<P: Ports + ?Sized> Ports for &P {
    fn alloc_unbound(&self, remote: Domain) -> Result<Port, HypercallError> {
        (**self).alloc_unbound(remote)
    }

    fn bind_interdomain(&self, remote: Domain, port: Port) -> Result<Port, HypercallError> {
        (**self).bind_interdomain(remote, port)
    }

    fn send(&self, port: Port) -> Result<(), HypercallError> {
        (**self).send(port)
    }

    fn close(&self, port: Port) -> Result<(), HypercallError> {
        (**self).close(port)
    }

    fn unmask(&self, port: Port) -> Result<(), HypercallError> {
        (**self).unmask(port)
    }
}

/// Xen's hypercalls, by way of `C`.
#[derive(Clone, Copy, Debug)]
pub struct Hypercalls<C = Processor>(C);

impl Hypercalls {
    /// Those of the hypervisor that was detected.
    ///
    /// # Safety
    /// This program runs in ring 0 of a Xen domain whose processor has `instruction`.
    pub const unsafe fn new(instruction: Instruction) -> Self {
        Self(Processor(instruction))
    }
}

impl<C: Call> Hypercalls<C> {
    /// Those that `call` executes.
    pub const fn by(call: C) -> Self {
        Self(call)
    }

    /// Hypercall `number` with a command and a structure that Xen reads and may write.
    ///
    /// # Safety
    /// `T` is the structure of that command, and what it says about memory is the caller's to say.
    unsafe fn with<T>(
        &self,
        number: u64,
        command: u64,
        argument: &mut T,
        count: u64,
    ) -> Result<u64, HypercallError> {
        // SAFETY: the pointer is to a live structure of the command's type that nobody else looks at; the
        // rest the caller vouches for.
        HypercallError::check(unsafe { self.0.call(number, [command, from_mut(argument) as u64, count]) })
    }

    /// Xen's version: major in the upper, minor in the lower half.
    ///
    /// # Errors
    /// What Xen says.
    pub fn version(&self) -> Result<(u16, u16), HypercallError> {
        // SAFETY: command 0 has no argument.
        let version = HypercallError::check(unsafe { self.0.call(abi::XEN_VERSION, [0; 3]) })?;
        let [.., a, b, c, d] = version.to_be_bytes();
        Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// A parameter of this domain.
    ///
    /// # Errors
    /// What Xen says.
    pub fn param(&self, param: Param) -> Result<u64, HypercallError> {
        let mut argument = abi::HvmParam { domain: Domain::SELF.0, pad: 0, index: param as u32, value: 0 };
        // SAFETY: the structure of the command, which says nothing about memory.
        unsafe { self.with(abi::HVM_OP, abi::HVMOP_GET_PARAM, &mut argument, 0) }?;
        Ok(argument.value)
    }

    /// Has Xen deliver events as interrupt `vector`.
    ///
    /// # Errors
    /// What Xen says.
    pub fn set_callback_vector(&self, vector: u8) -> Result<(), HypercallError> {
        let (index, value) = (Param::CallbackIrq as u32, callback_vector(vector));
        let mut argument = abi::HvmParam { domain: Domain::SELF.0, pad: 0, index, value };
        // SAFETY: the structure of the command. What the interrupt then runs is up to who set its gate.
        unsafe { self.with(abi::HVM_OP, abi::HVMOP_SET_PARAM, &mut argument, 0) }.map(drop)
    }

    /// Ends this domain, for `reason`. Returns only if Xen refuses.
    pub fn shutdown(&self, reason: Shutdown) -> HypercallError {
        let mut argument = abi::SchedShutdown { reason: reason as u32 };
        // SAFETY: the structure of the command.
        match unsafe { self.with(abi::SCHED_OP, abi::SCHEDOP_SHUTDOWN, &mut argument, 0) } {
            Err(cause) => cause,
            Ok(_) => HypercallError::Again,
        }
    }

    /// Gives the rest of this time slice away.
    pub fn yield_now(&self) {
        // SAFETY: the command has no argument. It cannot fail in a way that matters.
        let _ = unsafe { self.0.call(abi::SCHED_OP, [abi::SCHEDOP_YIELD, 0, 0]) };
    }

    /// Puts page `index` of `space` at `frame`.
    ///
    /// # Safety
    /// `frame` is the caller's, and what is there now is not needed any more.
    ///
    /// # Errors
    /// What Xen says.
    pub unsafe fn add_to_physmap(
        &self,
        space: MapSpace,
        index: u64,
        frame: Frame,
    ) -> Result<(), HypercallError> {
        let mut argument =
            abi::AddToPhysmap { domain: Domain::SELF.0, size: 0, space: space as u32, index, frame: frame.0 };
        // SAFETY: the structure of the command; the caller gives the frame.
        unsafe { self.with(abi::MEMORY_OP, abi::XENMEM_ADD_TO_PHYSMAP, &mut argument, 0) }.map(drop)
    }

    /// Takes the memory at `frame` away.
    ///
    /// # Safety
    /// The frame is the caller's, and nobody looks at it before something else was put there.
    ///
    /// # Errors
    /// What Xen says, [`HypercallError::Refused`] if it did nothing.
    pub unsafe fn decrease_reservation(&self, frame: Frame) -> Result<(), HypercallError> {
        // SAFETY: as the caller promises.
        unsafe { self.reservation(abi::XENMEM_DECREASE_RESERVATION, frame) }
    }

    /// Puts fresh memory at `frame`.
    ///
    /// # Safety
    /// The frame is the caller's, and nothing is there.
    ///
    /// # Errors
    /// What Xen says, [`HypercallError::Refused`] if it did nothing.
    pub unsafe fn populate_physmap(&self, frame: Frame) -> Result<(), HypercallError> {
        // SAFETY: as the caller promises.
        unsafe { self.reservation(abi::XENMEM_POPULATE_PHYSMAP, frame) }
    }

    /// # Safety
    /// The frame is the caller's to change in that way.
    unsafe fn reservation(&self, command: u64, frame: Frame) -> Result<(), HypercallError> {
        let mut extent = frame.0;
        let mut argument = abi::MemoryReservation {
            extent_start: from_mut(&mut extent) as u64,
            extents: 1,
            order: 0,
            flags: 0,
            domain: Domain::SELF.0,
            pad: [0; 3],
        };
        // SAFETY: the structure of the command with a list of one frame, alive until it returns.
        match unsafe { self.with(abi::MEMORY_OP, command, &mut argument, 0) }? {
            1 => Ok(()),
            _ => Err(HypercallError::Refused),
        }
    }

    /// The grant table's frames: how many there are, and how many there can be.
    ///
    /// # Errors
    /// What Xen says.
    pub fn grant_frames(&self) -> Result<(u32, u32), GrantStatus> {
        let mut argument =
            abi::GrantQuerySize { domain: Domain::SELF.0, pad: 0, frames: 0, most: 0, status: 0, pad2: 0 };
        // SAFETY: the structure of the command, one of it.
        unsafe { self.with(abi::GRANT_TABLE_OP, abi::GNTTABOP_QUERY_SIZE, &mut argument, 1) }?;
        GrantStatus::check(argument.status)?;
        Ok((argument.frames, argument.most))
    }

    /// Has grant table entries in the form of version 1, which [`grant`](crate::grant) writes.
    ///
    /// # Errors
    /// What Xen says, [`HypercallError::Busy`] while grants are in use.
    pub fn use_grant_version_1(&self) -> Result<(), HypercallError> {
        let mut argument = abi::GrantSetVersion { version: 1 };
        // SAFETY: the structure of the command, one of it.
        unsafe { self.with(abi::GRANT_TABLE_OP, abi::GNTTABOP_SET_VERSION, &mut argument, 1) }?;
        if argument.version == 1 { Ok(()) } else { Err(HypercallError::Refused) }
    }

    /// Maps the page that `domain` granted as `reference` at `frame`. (In a PVH domain the address that
    /// Xen wants is a guest-physical one.)
    ///
    /// # Safety
    /// `frame` is the caller's and has no memory behind it; what is mapped there is treated as `access` says.
    ///
    /// # Errors
    /// What Xen says.
    pub unsafe fn map_grant(
        &self,
        domain: Domain,
        reference: GrantRef,
        frame: Frame,
        access: Access,
    ) -> Result<Handle, GrantStatus> {
        let mut argument = abi::MapGrantRef {
            address: frame.address(),
            flags: abi::GNTMAP_HOST_MAP | if access == Access::ReadOnly { abi::GNTMAP_READONLY } else { 0 },
            reference: reference.number(),
            domain: domain.0,
            status: 0,
            handle: 0,
            bus_address: 0,
        };
        // SAFETY: the structure of the command, one of it; the caller gives the frame.
        unsafe { self.with(abi::GRANT_TABLE_OP, abi::GNTTABOP_MAP_GRANT_REF, &mut argument, 1) }?;
        GrantStatus::check(argument.status)?;
        Ok(Handle(argument.handle))
    }

    /// Undoes [`Hypercalls::map_grant`]. Nothing is at `frame` afterwards.
    ///
    /// # Safety
    /// `handle` was mapped at `frame`, and nobody looks there any more.
    ///
    /// # Errors
    /// What Xen says.
    pub unsafe fn unmap_grant(&self, handle: Handle, frame: Frame) -> Result<(), GrantStatus> {
        let mut argument = abi::UnmapGrantRef {
            address: frame.address(),
            bus_address: 0,
            handle: handle.0,
            status: 0,
            pad: 0,
        };
        // SAFETY: the structure of the command, one of it; the caller vouches for the frame.
        unsafe { self.with(abi::GRANT_TABLE_OP, abi::GNTTABOP_UNMAP_GRANT_REF, &mut argument, 1) }?;
        GrantStatus::check(argument.status)
    }

    fn event<T>(&self, command: u64, argument: &mut T) -> Result<(), HypercallError> {
        // SAFETY: the methods below pass the command's own structure, and none says anything about memory.
        unsafe { self.with(abi::EVENT_CHANNEL_OP, command, argument, 0) }.map(drop)
    }
}

impl<C: Call> Ports for Hypercalls<C> {
    fn alloc_unbound(&self, remote: Domain) -> Result<Port, HypercallError> {
        let mut argument = abi::AllocUnbound { domain: Domain::SELF.0, remote: remote.0, port: 0 };
        self.event(abi::EVTCHNOP_ALLOC_UNBOUND, &mut argument)?;
        Ok(Port(argument.port))
    }

    fn bind_interdomain(&self, remote: Domain, port: Port) -> Result<Port, HypercallError> {
        let mut argument =
            abi::BindInterdomain { remote: remote.0, pad: 0, remote_port: port.0, local_port: 0 };
        self.event(abi::EVTCHNOP_BIND_INTERDOMAIN, &mut argument)?;
        Ok(Port(argument.local_port))
    }

    fn send(&self, port: Port) -> Result<(), HypercallError> {
        self.event(abi::EVTCHNOP_SEND, &mut abi::OnePort { port: port.0 })
    }

    fn close(&self, port: Port) -> Result<(), HypercallError> {
        self.event(abi::EVTCHNOP_CLOSE, &mut abi::OnePort { port: port.0 })
    }

    fn unmask(&self, port: Port) -> Result<(), HypercallError> {
        self.event(abi::EVTCHNOP_UNMASK, &mut abi::OnePort { port: port.0 })
    }
}

#[cfg(test)]
mod tests;
