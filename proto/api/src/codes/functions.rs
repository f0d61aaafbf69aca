//! E80xx: writing functions. Said by `fades dmf`.

catalogue! {
    KIT_MISSING = 8000, 503, "no kit", "Give --kit DIR or FADES_KIT: a clone of this project, or what its package installed.",
        "A function is built out of the kit's sources: kernel, loader and runtime. They are looked for above the program itself.";
    TOOLCHAIN_MISSING = 8001, 503, "guests cannot be built on this machine", "Run `fades doctor` and follow what it says.",
        "A unikernel is built with its standard library, so the toolchain needs the library's sources, and the linker ld.lld.";
    FUNCTION_CRATE_MISSING = 8002, 400, "no function here", "Go to the folder of a function's crate, or give --dir; `fades dmf new` makes one.",
        "The folder has no Cargo.toml with a name, a version and dmf-kit among its dependencies.";
    BUILD_FAILED = 8003, 500, "building failed", "Read what the compiler says, in the message or above it.",
        "A program that takes part in the build ended with an error.";
    FUNCTION_FAILED_HERE = 8004, 422, "function gave no result on this machine", "Correct the function, the task or the data, as its words say.",
        "Before a unikernel is started the function runs as a program of this machine, on the same points. It failed there.";
    RESULTS_DIFFER = 8005, 500, "results differ between backends", "Look for what depends on the machine: time, randomness, addresses, the order of a hash map.",
        "The same function was given the same points in two places, and gave two results. A result must follow from its data alone.";
    TRIAL_NODE_FAILED = 8006, 503, "the node for this run did not come up", "Read its last words in the message, and run `fades doctor`.",
        "A run has a node of its own, which lives as long as it does.";
    FOLDER_TAKEN = 8007, 409, "folder is taken", "Choose another name, or remove the folder.",
        "Nothing that is there is written over.";
    IMAGE_NOT_REPRODUCED = 8008, 409, "image is not what its source gives", "Build with the toolchain, the kit and the lock file that it was made with; if they are, do not trust it.",
        "Built again from its function's crate the image has other bytes. The same source, kit, lock file and toolchain give the same bytes, from whatever folders.";
    POINTS_NOT_TOLD_APART = 8009, 409, "recorded points cannot be told apart", "Group by the tags that tell them apart, or record the operations by tasks of their own, into files of their own.",
        "A file of points has one point of a series at a time, and a series is measurement, field and those tags that an operation groups or filters by. Points of the source that differ in other tags only, or that two operations keep with different tags, would be lost or given twice to a function that reads the file.";
    NO_POINTS = 8010, 404, "no points", "Correct the operation's measurement, field, tags or range.",
        "Nothing that the source or the file holds fits what an operation asks for. A recording without points is refused; a run on a file goes on with a warning, as a function may have a result on no data.";
}
