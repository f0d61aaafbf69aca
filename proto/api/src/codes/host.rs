//! E60xx: the host is not ready to run a node. Said by `fades doctor`, `fades up` and `fadesd`.

catalogue! {
    QEMU_MISSING = 6000, 503, "QEMU is missing", "Install it: `apt-get install qemu-system-x86`.",
        "No qemu-system-x86_64 was found where the configuration and PATH point to.";
    QEMU_TOO_OLD = 6001, 503, "QEMU is too old", "Install QEMU 7.2 or newer.",
        "The QEMU that was found lacks something that guests need.";
    KVM_UNUSABLE = 6002, 503, "KVM does not work", "Nothing, if emulation is fast enough; else use a machine with hardware virtualisation.",
        "Either /dev/kvm cannot be opened, or a tiny guest did not run on it within its deadline. The existence of /dev/kvm proves nothing: some machines offer it without a processor behind it.";
    BACKEND_NONE = 6003, 503, "nothing can run guests", "Run `fades doctor` and follow what it says.",
        "Neither hardware virtualisation nor emulation works on this host.";
    BACKEND_FORCED_UNUSABLE = 6004, 503, "the backend that is configured does not work", "Correct `backend` in fades.toml, or remove it to have one chosen.",
        "The configuration forces a backend whose probe failed. It is not replaced silently.";
    PROBE_TIMED_OUT = 6005, 503, "probe guest did not answer", "Run `fades doctor` again on a less busy machine.",
        "A guest of a few instructions did not end within its deadline.";
    BROKER_IMAGE_MISSING = 6006, 503, "no image for the broker", "Add one: `fades image add`.",
        "A node needs a broker's image to reach any source.";
    CONFIGURATION_INVALID = 6007, 400, "configuration is invalid", "Correct fades.toml at the place that the message names.",
        "The configuration has an unknown key, a value of the wrong type or out of range.";
    FOLDER_OPEN_TO_OTHERS = 6008, 503, "node folder is open to others", "Run `chmod 700` on it.",
        "The folder holds the node's key and the sources' credentials.";
    NODE_RUNNING_ALREADY = 6009, 409, "another fadesd runs in this folder", "Use that one, or end it first.",
        "Two daemons on one store would undo each other's promises.";
    ADDRESS_TAKEN = 6010, 503, "address cannot be listened on", "Choose another `listen` in fades.toml, or end what listens there.",
        "The address is taken, is not this host's, or may not be used by this user.";
    CLOCK_UNSET = 6011, 503, "clock is not set", "Set the host's clock.",
        "The clock shows a time before this version was made. Wrappers could not be judged.";
    SANDBOX_UNAVAILABLE = 6012, 503, "a defence is not available", "Use a kernel and a QEMU that have it, or take `strict` out of fades.toml, upon which `status` says what is off.",
        "The node is told to start with every defence around its guests only, and this machine does not give one. `fades doctor` says which, and why.";
    NODE_KEY_UNUSABLE = 6013, 503, "node key cannot be used", "Restore node.key from its backup, or run `fades init` for a new node.",
        "The node's key is missing, malformed, or open to others. Without it no receipt can be signed.";
    NOT_A_NODE_FOLDER = 6014, 404, "not a node folder", "Run `fades init DIR` first, or name the right folder.",
        "There is no fades.toml in the folder.";
    OPEN_FILES_LOW = 6015, 503, "limit of open files is too low", "Raise it (ulimit -n) to at least what the message names.",
        "Guests and connections need more file descriptors than the limit allows.";
    MEMORY_LOW = 6016, 503, "host has too little memory", "Lower the limits in fades.toml, or free memory.",
        "The configured limits are above what the host has.";
    NODE_FOLDER_EXISTS = 6017, 409, "folder is a node already", "Name another folder, or use this one as it is.",
        "`fades init` never overwrites a node's key or store.";
    MEMFD_UNAVAILABLE = 6018, 503, "sealed memory files are not available", "Use a Linux kernel of 3.17 or newer without a filter on memfd_create.",
        "Images are handed to guests in sealed memory, so that they cannot be swapped between check and boot.";
    NETWORK_START_FAILED = 6019, 503, "virtual network could not be started", "Look at the cause in the message and at `fades doctor`.",
        "The switch inside the daemon did not come up.";
    SETUP_FAILED = 6020, 503, "setting up failed", "Run the command that the message names by hand and look at its output.",
        "A tool that prepares the machine ended with an error.";
    XEN_NOT_DOM0 = 6021, 503, "not in the control domain of a Xen host", "Run fadesd in dom0, with xenfs on /proc/xen, or remove `kind` under `[backend]` in fades.toml.",
        "Only Xen's control domain can build domains. The message tells what was found here in place of one.";
    XEN_TOOLSTACK_MISSING = 6022, 503, "Xen's toolstack is missing", "Install it: on Debian, xen-utils.",
        "Domains are built and ended by xl, which is in none of the folders that the message names.";
    XEN_TOO_OLD = 6023, 503, "Xen is too old", "Install Xen 4.14 or newer.",
        "The hypervisor that runs is older than what guests are built for: it names the options of their domains otherwise.";
    MONITOR_HAS_HOLE = 6024, 503, "QEMU has a known hole", "Install a release without it. If your distribution has mended this one, name what it mended in `mended` under `[backend]` in fades.toml.",
        "The release of QEMU that was found has a published fault through which a guest could reach the monitor that runs it.";
}
